/** `kata-rego eval`: one query, one JSON object. */
import { KataError } from "../../kata-error.ts";
import { formatJson } from "../rego/json.ts";
import { RegoObject } from "../rego/values.ts";
import type { Arguments } from "./arguments.ts";
import type { CommandHost } from "./command-host.ts";
import { evaluateOptions, loadProgram, readModules } from "./load-program.ts";
import { encodeValue } from "./value-encoding.ts";

/** Prints `{"defined": true, "value": V}` or `{"defined": false}`. */
export function evalCommand(args: Arguments, host: CommandHost): number {
  const query = args.positional.at(-1);
  if (query === undefined) {
    throw new KataError("invalid-argument", {
      operation: "evaluate",
      object: "no query",
      hint: "usage: kata-rego eval [--v0] [--data F] [--input F] MODULE… QUERY",
    });
  }
  const program = loadProgram(readModules(args.positional.slice(0, -1), host), args, host);
  const result = program.evaluate(query, evaluateOptions(args, host));
  const answer = new RegoObject();
  answer.set("defined", result.defined);
  if (result.defined) answer.set("value", encodeValue(result.value));
  host.writeOut(`${formatJson(answer)}\n`);
  return 0;
}
