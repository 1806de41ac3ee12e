/** The command line: flags for all commands, a command, its flags. */
import { suggestion } from "../config/nearest-name.ts";
import { KataError } from "../kata-error.ts";
import type { Command, Flag, FlagValues } from "./types.ts";

export type Invocation =
  | { readonly do: "help"; readonly command: Command | undefined }
  | { readonly do: "version" }
  | { readonly do: "show-paths" }
  | {
      readonly do: "run";
      readonly command: Command;
      readonly flags: FlagValues;
      readonly operands: readonly string[];
    };

const HELP: Flag = { names: ["--help", "-h"], doc: "show this help" };
const VERSION: Flag = { names: ["--version", "-v"], doc: "show the version" };
const SHOW_PATHS: Flag = {
  names: ["--show-default-config-paths", "--kata-show-default-config-paths"],
  doc: "show where the configuration is looked for",
};

/** Before the command. */
export const GLOBAL_FLAGS: readonly Flag[] = [
  { names: ["--config", "--kata-config"], value: "FILE", doc: "read this configuration file" },
  SHOW_PATHS,
  VERSION,
  HELP,
];

/**
 * What the words after the program's name ask for. Without a command it is the help.
 *
 * @param moreGlobalFlags before the command, besides {@link GLOBAL_FLAGS}.
 * @throws KataError `invalid-argument` for an unknown command or flag, with the nearest name, a flag without its value, and
 * words that belong to nothing.
 */
export function parseArguments(
  words: readonly string[],
  commands: readonly Command[],
  moreGlobalFlags: readonly Flag[] = [],
): Invocation {
  const global = readFlags(words, [...GLOBAL_FLAGS, ...moreGlobalFlags], "first");
  if (global.flags.has("help")) return { do: "help", command: undefined };
  if (global.flags.has("version")) return { do: "version" };
  if (global.flags.has("show-default-config-paths")) return { do: "show-paths" };
  const [name, ...rest] = global.rest;
  if (name === undefined) return { do: "help", command: undefined };
  if (name === "help") return helpFor(rest, commands);
  return parseCommand(findCommand(name, commands), rest, global.flags);
}

function parseCommand(command: Command, words: readonly string[], before: FlagValues): Invocation {
  const { subcommands, flagsFirst = false } = command;
  const where = subcommands !== undefined || flagsFirst ? "first" : "anywhere";
  const own = readFlags(words, [...command.flags, HELP], where);
  if (own.flags.has("help")) return { do: "help", command };
  const flags = new Map([...before, ...own.flags]);
  if (subcommands !== undefined) {
    const [name, ...rest] = own.rest;
    if (name === undefined) return { do: "help", command };
    if (name === "help") return helpFor(rest, subcommands);
    return parseCommand(findCommand(name, subcommands), rest, flags);
  }
  const { min, max, shown } = command.operands ?? { min: 0, max: 0, shown: "" };
  const unexpected = own.rest[max];
  if (unexpected !== undefined) {
    const most = max === 1 ? "one argument" : `${max} arguments`;
    throw invalid(unexpected, `${command.name} takes ${max === 0 ? "no arguments" : `at most ${most}`}`);
  }
  if (own.rest.length < min) throw invalid(command.name, `it needs ${shown}`);
  return { do: "run", command, flags, operands: own.rest };
}

function helpFor([name, ...rest]: readonly string[], commands: readonly Command[]): Invocation {
  if (name === undefined) return { do: "help", command: undefined };
  const command = findCommand(name, commands);
  const [next] = rest;
  if (next === undefined) return { do: "help", command };
  if (command.subcommands !== undefined) return helpFor(rest, command.subcommands);
  throw invalid(next, "help takes one command");
}

function findCommand(name: string, commands: readonly Command[]): Command {
  const found = commands.find((command) => command.name === name || command.aliases.includes(name));
  if (found !== undefined) return found;
  const names = commands.flatMap((command) => [command.name, ...command.aliases]);
  throw invalid(name, `no such command${suggestion(name, [...names, "help"])}`);
}

interface ReadFlags {
  readonly flags: FlagValues;
  /** The words that are no flags; behind the first one or `--`, all of them if flags come first. */
  readonly rest: readonly string[];
}

function readFlags(words: readonly string[], known: readonly Flag[], where: "first" | "anywhere"): ReadFlags {
  const flags = new Map<string, string | true | string[]>();
  const rest: string[] = [];
  let at = 0;
  for (; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "--") return { flags, rest: [...rest, ...words.slice(at + 1)] };
    if (!word.startsWith("-") || word === "-") {
      if (where === "first") break;
      rest.push(word);
      continue;
    }
    const equals = word.startsWith("--") ? word.indexOf("=") : -1;
    const name = equals < 0 ? word : word.slice(0, equals);
    const flag = known.find(({ names }) => names.includes(name));
    if (flag === undefined) {
      const names = known.flatMap((each) => each.names);
      throw invalid(name, `no such flag${suggestion(name, names)}`);
    }
    let value: string | true = true;
    if (flag.value !== undefined) {
      const given = equals < 0 ? words[++at] : word.slice(equals + 1);
      if (given === undefined || given === "") throw invalid(name, `it needs a ${flag.value}`);
      if (flag.repeats) {
        const before = flags.get(flagKey(flag));
        flags.set(flagKey(flag), [...(Array.isArray(before) ? before : []), given]);
        continue;
      }
      value = given;
    } else if (equals >= 0) {
      throw invalid(name, "it takes no value");
    }
    flags.set(flagKey(flag), value);
  }
  return { flags, rest: where === "first" ? words.slice(at) : rest };
}

/** The name of a flag in {@link FlagValues}. */
function flagKey({ names }: Flag): string {
  return (names[0] ?? "").replace(/^--/, "");
}

function invalid(word: string, hint: string): KataError {
  return new KataError("invalid-argument", {
    operation: "read command line",
    object: JSON.stringify(word.slice(0, 200)),
    hint,
  });
}
