/** The command line of kata-rego. */
import { KataError } from "../../kata-error.ts";

export interface Arguments {
  readonly flags: ReadonlySet<string>;
  readonly values: ReadonlyMap<string, string>;
  readonly positional: readonly string[];
}

const FLAGS = [
  "--v0",
  "--v1",
  "--no-strict-builtin-errors",
  "--write",
  "--diff",
  "--verbose",
  "--json",
  "--help",
];
const VALUES = ["--data", "--input", "--max-steps", "--max-depth", "--max-memory", "--count", "--run"];

/**
 * Splits arguments into flags, options with a value (`--data F` or `--data=F`) and the rest.
 *
 * @throws KataError `invalid-argument` for an unknown option or a missing value.
 */
export function parseArguments(args: readonly string[]): Arguments {
  const flags = new Set<string>();
  const values = new Map<string, string>();
  const positional: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    if (arg === "--") {
      positional.push(...args.slice(i + 1));
      break;
    }
    if (!arg.startsWith("--")) {
      positional.push(arg);
      continue;
    }
    const equals = arg.indexOf("=");
    const name = equals < 0 ? arg : arg.slice(0, equals);
    if (FLAGS.includes(name) && equals < 0) {
      flags.add(name);
    } else if (VALUES.includes(name)) {
      const value = equals < 0 ? args[++i] : arg.slice(equals + 1);
      if (value === undefined) throw wrong(name, "a value follows this option");
      values.set(name, value);
    } else {
      throw wrong(name, `known options: ${[...FLAGS, ...VALUES].join(", ")}`);
    }
  }
  return { flags, values, positional };
}

export function numberOption({ values }: Arguments, name: string, fallback: number): number {
  const text = values.get(name);
  if (text === undefined) return fallback;
  if (!/^[1-9]\d*$/.test(text)) throw wrong(`${name} ${text}`, "a positive integer was expected");
  return Number(text);
}

function wrong(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "read arguments", object, hint });
}
