/** `kata-rego bench`: how long compiling and evaluating take. */
import { KataError } from "../../kata-error.ts";
import { formatJson, fromJson } from "../rego/json.ts";
import { type Arguments, numberOption } from "./arguments.ts";
import type { CommandHost } from "./command-host.ts";
import { evaluateOptions, loadProgram, readModules } from "./load-program.ts";

const DEFAULT_COUNT = 200;

/** Prints milliseconds as one JSON object: `compile`, then `median`, `p95` and `fastest` of `count` evaluations. */
export function benchCommand(args: Arguments, host: CommandHost): number {
  const query = args.positional.at(-1);
  if (query === undefined) {
    throw new KataError("invalid-argument", {
      operation: "measure",
      object: "no query",
      hint: "usage: kata-rego bench [--count N] [--data F] [--input F] MODULE… QUERY",
    });
  }
  const count = numberOption(args, "--count", DEFAULT_COUNT);
  const sources = readModules(args.positional.slice(0, -1), host);
  const start = host.milliseconds();
  const program = loadProgram(sources, args, host);
  const compile = host.milliseconds() - start;
  const options = { ...evaluateOptions(args, host), onPrint: () => undefined };
  const times = Array.from({ length: count }, () => {
    const before = host.milliseconds();
    program.evaluate(query, options);
    return host.milliseconds() - before;
  }).sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(count - 1, Math.floor(count * share))] ?? 0;
  const round = (ms: number) => Math.round(ms * 1000) / 1000;
  const report = {
    compile: round(compile),
    count,
    fastest: round(at(0)),
    median: round(at(0.5)),
    p95: round(at(0.95)),
  };
  host.writeOut(`${formatJson(fromJson(report))}\n`);
  return 0;
}
