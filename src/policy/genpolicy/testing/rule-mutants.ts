/** Our rules with something taken away, for the test that every part of them is tested. */
import { parseModule } from "../../rego/parse-modules.ts";

export interface Mutant {
  /** What was taken away. */
  readonly name: string;
  readonly rules: string;
}

/** One mutant for each rule (each definition of those with several) and one for each member of the sets of rules. */
export function mutantsOf(rules: string): Mutant[] {
  const lines = rules.split("\n");
  const starts = parseModule("rules.rego", rules, "v0").rules.map((rule) => rule.at.line - 1);
  const definitions = starts.map((start, index) => {
    const next = starts[index + 1] ?? lines.length;
    return mutant(lines, start, Math.max(start + 1, lastLine(lines, start, next)));
  });
  const members = lines.flatMap((line, index) =>
    /^\t+\{"\w+" \| .*\},$/.test(line) ? [mutant(lines, index, index + 1)] : [],
  );
  return [...definitions, ...members];
}

function mutant(lines: readonly string[], start: number, end: number): Mutant {
  return {
    name: `line ${start + 1}: ${lines[start]?.trim()}`,
    rules: lines.toSpliced(start, end - start).join("\n"),
  };
}

/** Where a rule ends: before the comments and empty lines that lead to the next one. */
function lastLine(lines: readonly string[], start: number, next: number): number {
  let end = next;
  while (end > start && /^(#.*)?$/.test(lines[end - 1] ?? "")) end--;
  return end;
}
