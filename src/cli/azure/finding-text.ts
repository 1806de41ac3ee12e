/** What `azure preflight` prints. */
import type { Finding, Verdict } from "../../azure/preflight/types.ts";

const MARKS: Readonly<Record<Verdict, string>> = {
  ok: "ok",
  note: "note",
  warning: "warning",
  failed: "FAILED",
};
const MARK_WIDTH = 9;

/** A line for each object, its findings below it, what to do below these. */
export function findingLines(findings: readonly Finding[]): string {
  const width = Math.max(0, ...findings.map(({ rule }) => rule.length)) + 2;
  let object = "";
  let lines = "";
  for (const finding of findings) {
    if (finding.object !== object) lines += `${finding.object}\n`;
    object = finding.object;
    lines += `  ${MARKS[finding.verdict].padEnd(MARK_WIDTH)}${finding.rule.padEnd(width)}${finding.detail}\n`;
    if (finding.fix !== undefined) lines += `${" ".repeat(2 + MARK_WIDTH + width)}→ ${finding.fix}\n`;
  }
  return lines;
}
