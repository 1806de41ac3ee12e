/**
 * The specs that runc passes and a virtual machine cannot, one a line: the spec's whole name, ` # `, the reason. Empty lines and
 * lines that begin with `#` say nothing.
 */

/** More than this many, and the runtime is not what it claims to be. */
export const MOST_SKIPPED = 12;

/** @returns reasons by spec. @throws Error that names the line, if one has no reason or stands there twice, or if there are too many. */
export function parseSkipList(text: string): ReadonlyMap<string, string> {
  const skipped = new Map<string, string>();
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [, name, reason] = /^(.+?) # (.+)$/.exec(line.trim()) ?? [];
    if (name === undefined || reason === undefined) {
      throw new Error(`skip list, line ${index + 1}: expected SPEC # REASON: ${line}`);
    }
    if (skipped.has(name)) throw new Error(`skip list, line ${index + 1}: a second time: ${name}`);
    skipped.set(name, reason);
  }
  if (skipped.size > MOST_SKIPPED) {
    throw new Error(`skip list: ${skipped.size} specs, ${MOST_SKIPPED} at most`);
  }
  return skipped;
}

/** A regular expression of Go's that matches these names and no longer ones. */
export function skipPattern(names: Iterable<string>): string | undefined {
  const quoted = [...names].map((name) => name.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return quoted.length === 0 ? undefined : `(?:${quoted.join("|")})$`;
}
