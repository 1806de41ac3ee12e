/** Files to programs and documents. */
import { KataError } from "../../kata-error.ts";
import { parseYaml } from "../rego/builtins/yaml-reader.ts";
import { DEFAULT_LIMITS, type Limits } from "../rego/evaluation.ts";
import { parseJson } from "../rego/json.ts";
import { compileModules, type EvaluateOptions, type ModuleSource, type Program } from "../rego/program.ts";
import type { Value } from "../rego/values.ts";
import { type Arguments, numberOption } from "./arguments.ts";
import type { CommandHost } from "./command-host.ts";
import { decodeValue } from "./value-encoding.ts";

/** The modules at `paths`; a directory stands for the policies in it. */
export function readModules(paths: readonly string[], host: CommandHost): ModuleSource[] {
  const files = paths.flatMap((path) => host.listPolicies(path) ?? [path]);
  return files.map((name) => ({ name, text: host.readFile(name) }));
}

/**
 * Compiles modules in the language that the flags ask for.
 *
 * With neither `--v0` nor `--v1` a set of modules that is no Rego v1 but is v0 is taken as v0, with a warning; with
 * `--v0` the other way round. `--v1` and {@link isStrict} take nothing but what they say.
 *
 * @throws KataError as `compileModules` does, for the language asked for.
 */
export function loadProgram(
  sources: readonly ModuleSource[],
  args: Arguments,
  host: CommandHost,
  isStrict = false,
): Program {
  const v0 = args.flags.has("--v0");
  const options = { metadata: parseYaml };
  try {
    return compileModules(sources, { ...options, v0 });
  } catch (error) {
    if (isStrict || args.flags.has("--v1") || !(error instanceof KataError) || error.code !== "policy-syntax")
      throw error;
    const program = otherDialect(sources, !v0, options);
    if (!program) throw error;
    host.writeError(`warning: ${error.message}\nwarning: read as Rego ${v0 ? "v1" : "v0"} instead\n`);
    return program;
  }
}

function otherDialect(
  sources: readonly ModuleSource[],
  v0: boolean,
  options: { metadata: typeof parseYaml },
): Program | undefined {
  try {
    return compileModules(sources, { ...options, v0 });
  } catch (error) {
    if (error instanceof KataError && error.code === "policy-syntax") return undefined;
    throw error;
  }
}

/** The document in a JSON or YAML file. */
export function readDocument(path: string, host: CommandHost): Value {
  const text = host.readFile(path);
  return decodeValue(/\.ya?ml$/.test(path) ? parseYaml(text) : parseJson(text));
}

export function evaluateOptions(args: Arguments, host: CommandHost): EvaluateOptions {
  const data = args.values.get("--data");
  const input = args.values.get("--input");
  const limits: Limits = {
    steps: numberOption(args, "--max-steps", DEFAULT_LIMITS.steps),
    depth: numberOption(args, "--max-depth", DEFAULT_LIMITS.depth),
    memory: numberOption(args, "--max-memory", DEFAULT_LIMITS.memory),
  };
  return {
    data: data === undefined ? undefined : readDocument(data, host),
    input: input === undefined ? undefined : readDocument(input, host),
    limits,
    strictBuiltinErrors: !args.flags.has("--no-strict-builtin-errors"),
    host: host.providers,
    onPrint: (text, at) => host.writeError(`${at.file}:${at.line}: ${text}\n`),
  };
}
