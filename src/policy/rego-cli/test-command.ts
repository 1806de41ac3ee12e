/** `kata-rego test`: evaluates every rule whose name begins with `test_`. */
import { describeError } from "../../kata-error.ts";
import { formatJson } from "../rego/json.ts";
import type { Program } from "../rego/program.ts";
import { isArray } from "../rego/values.ts";
import type { Arguments } from "./arguments.ts";
import type { CommandHost } from "./command-host.ts";
import { evaluateOptions, loadProgram, readModules } from "./load-program.ts";

type Outcome = "PASS" | "FAIL" | "ERROR" | "SKIPPED";

/** Prints a line a test that did not pass (all with `--verbose`) and a summary; 2 unless all pass. */
export function testCommand(args: Arguments, host: CommandHost): number {
  const program = loadProgram(readModules(args.positional, host), args, host);
  const only = args.values.get("--run");
  const counts: Record<Outcome, number> = { PASS: 0, FAIL: 0, ERROR: 0, SKIPPED: 0 };
  for (const query of testNames(program)) {
    if (only !== undefined && !query.includes(only)) continue;
    const start = host.milliseconds();
    const { outcome, detail } = runTest(query, program, args, host);
    counts[outcome]++;
    const time = `(${(host.milliseconds() - start).toFixed(1)} ms)`;
    if (outcome !== "PASS" || args.flags.has("--verbose"))
      host.writeOut(`${query}: ${outcome} ${time}${detail}\n`);
  }
  const total = counts.PASS + counts.FAIL + counts.ERROR + counts.SKIPPED;
  const parts = Object.entries(counts).filter(([, count]) => count > 0);
  host.writeOut(
    total === 0
      ? "no tests found\n"
      : `${parts.map(([name, count]) => `${name}: ${count}/${total}`).join("\n")}\n`,
  );
  return counts.FAIL + counts.ERROR > 0 ? 2 : 0;
}

function testNames(program: Program): string[] {
  const names = new Set<string>();
  for (const module of program.modules) {
    for (const { head } of module.rules) {
      const [name] = head.path;
      if (name?.kind !== "scalar" || typeof name.value !== "string" || head.args) continue;
      if (/^(todo_)?test_/.test(name.value))
        names.add(["data", ...module.package, name.value].reduce(joinPath));
    }
  }
  return [...names];
}

function joinPath(path: string, key: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? `${path}.${key}` : `${path}[${formatJson(key)}]`;
}

function runTest(
  query: string,
  program: Program,
  args: Arguments,
  host: CommandHost,
): { outcome: Outcome; detail: string } {
  if (/\.todo_test_[^.]*$/.test(query)) return { outcome: "SKIPPED", detail: "" };
  try {
    const result = program.evaluate(query, evaluateOptions(args, host));
    const passes =
      result.defined && result.value !== false && !(isArray(result.value) && result.value.length === 0);
    return { outcome: passes ? "PASS" : "FAIL", detail: "" };
  } catch (error) {
    return { outcome: "ERROR", detail: `\n  ${describeError(error)}` };
  }
}
