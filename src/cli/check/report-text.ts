/** What `check` prints. */
import type { ClassicFinding } from "../host/classic-findings.ts";
import type { CheckReport, CheckResult, Verdict } from "./evaluate.ts";

/** Upstream's sentences, which scripts look for. */
export const CAPABLE = "System is capable of running Kata Containers";
export const NOT_CAPABLE = "System is not capable of running Kata Containers";
export const READY = "System can currently create Kata Containers";
export const NOT_READY = "System cannot currently create Kata Containers";

const MARKS: Readonly<Record<Verdict, string>> = { ok: "ok", warning: "warning", failed: "FAILED" };

/** One line for each result, the command to run below it. */
export function resultLines(results: readonly CheckResult[]): string {
  const width = Math.max(0, ...results.map(({ name }) => name.length)) + 2;
  const mark = Math.max(...Object.values(MARKS).map(({ length }) => length)) + 2;
  return results
    .map(({ name, verdict, detail, fix }) => {
      const line = `${MARKS[verdict].padEnd(mark)}${name.padEnd(width)}${detail}\n`;
      return fix === undefined ? line : `${line}${" ".repeat(mark + width)}→ ${fix}\n`;
    })
    .join("");
}

/** What upstream's check would find missing, in its words: about KVM, and no verdict. */
export function factLines(facts: readonly ClassicFinding[]): string {
  const mark = Math.max(...Object.values(MARKS).map(({ length }) => length)) + 2;
  return facts
    .map(
      ({ message, description, name, type }) =>
        `${"fact".padEnd(mark)}${message}: description=${JSON.stringify(description)} name=${name} type=${type}\n`,
    )
    .join("");
}

/** The answer as sentences: what holds, and what does not. */
export function verdictLines({ capable, ready }: CheckReport): {
  readonly good: string[];
  readonly bad: string[];
} {
  if (!capable) return { good: [], bad: [`ERROR: ${NOT_CAPABLE}`] };
  return ready ? { good: [CAPABLE, READY], bad: [] } : { good: [CAPABLE], bad: [`ERROR: ${NOT_READY}`] };
}

export function reportJson({ results, capable, ready, facts }: CheckReport): string {
  return `${JSON.stringify({ capable, ready, checks: results, facts }, null, 2)}\n`;
}
