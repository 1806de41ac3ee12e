/** The help texts. */
import { GLOBAL_FLAGS } from "./arguments.ts";
import type { Command, Flag } from "./types.ts";

/** Of the whole program. */
export function programHelp(
  program: string,
  commands: readonly Command[],
  moreGlobalFlags: readonly Flag[] = [],
): string {
  const width = Math.max(...commands.map(({ name }) => name.length), "help".length) + 3;
  const row = (name: string, summary: string) => `  ${name.padEnd(width)}${summary}`;
  return [
    `Usage: ${program} [OPTION]... COMMAND`,
    "",
    "Tells about this host and the containers in virtual machines on it.",
    "",
    "Commands:",
    ...commands.map(({ name, summary }) => row(name, summary)),
    row("help", "show the help of a command"),
    "",
    "Options:",
    ...flagLines([...moreGlobalFlags, ...GLOBAL_FLAGS]),
    "",
    "Examples:",
    ...exampleLines(
      program,
      commands.flatMap(({ examples }) => examples.slice(0, 1)),
    ),
    "",
    "Exit status: 0 if the answer is yes, 1 if it is no or the command failed, 125 for a wrong command line.",
    "Data goes to stdout, everything else to stderr.",
    "",
  ].join("\n");
}

/** Of one command. */
export function commandHelp(program: string, command: Command): string {
  const aliases = command.aliases.length === 0 ? [] : ["", `Also called: ${command.aliases.join(", ")}`];
  const { within, name, operands, subcommands = [] } = command;
  const takes = subcommands.length > 0 ? " COMMAND" : operands === undefined ? "" : ` ${operands.shown}`;
  const width = Math.max(0, ...subcommands.map((each) => each.name.length)) + 3;
  const rows = subcommands.map((each) => `  ${each.name.padEnd(width)}${each.summary}`);
  return [
    `Usage: ${program} ${within === undefined ? "" : `${within} `}${name} [OPTION]...${takes}`,
    "",
    command.description,
    ...aliases,
    ...(rows.length === 0 ? [] : ["", "Commands:", ...rows]),
    "",
    "Options:",
    ...flagLines([...command.flags, { names: ["--help", "-h"], doc: "show this help" }]),
    "",
    "Examples:",
    ...exampleLines(program, command.examples),
    "",
  ].join("\n");
}

function flagLines(flags: readonly Flag[]): string[] {
  const spelled = flags.map(({ names, value, doc }) => {
    const [long = "", ...others] = names;
    const short = others.find((name) => !name.startsWith("--"));
    const shown = value === undefined ? long : `${long} ${value}`;
    return { left: `${short === undefined ? "    " : `${short}, `}${shown}`, doc };
  });
  const width = Math.max(...spelled.map(({ left }) => left.length)) + 3;
  return spelled.map(({ left, doc }) => `  ${left.padEnd(width)}${doc}`);
}

/** A command line that is longer than this moves no others' explanations. */
const MAX_ALIGNED = 60;

function exampleLines(program: string, examples: Command["examples"]): string[] {
  const lengths = examples.map(([line]) => line.length).filter((length) => length <= MAX_ALIGNED);
  const width = Math.max(0, ...lengths) + 3;
  return examples.map(([line, what]) => {
    const shown = line.length <= MAX_ALIGNED ? line.padEnd(width) : `${line}   `;
    return `  ${program} ${shown}${what}`;
  });
}
