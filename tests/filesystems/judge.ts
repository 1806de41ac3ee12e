/** What a way's complaints come to, beside the reference's. */

/** By the names of checks; empty text for a check that has passed. */
export type Complaints = Readonly<Record<string, string>>;

/** Reasons by the names of checks that a way is known not to pass. */
export type Refusals = Readonly<Record<string, string>>;

/** @returns how many checks have passed, and a sentence for each that should have, or should not. */
export function judge(
  way: string,
  reference: Complaints,
  complaints: Complaints,
  refused: Refusals,
): { readonly passed: number; readonly faults: readonly string[] } {
  const faults: string[] = [];
  let passed = 0;
  for (const [name, expected] of Object.entries(reference)) {
    const complaint = complaints[name];
    if (complaint === "") passed++;
    if (complaint === undefined) faults.push(`${way}: ${name} was not tried`);
    // What the host's own file system does not do, nothing that shows it can.
    else if (complaint !== "" && expected === "" && refused[name] === undefined) {
      faults.push(`${way}: ${name}: ${complaint}`);
    } else if (complaint === "" && refused[name] !== undefined) {
      faults.push(`${way}: ${name} passes, and is listed as refused: ${refused[name]}`);
    }
  }
  return { passed, faults };
}
