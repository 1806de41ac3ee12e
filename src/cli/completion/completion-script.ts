/** Scripts that complete a command line, from the table of commands. */
import { GLOBAL_FLAGS } from "../arguments.ts";
import type { Command, Flag } from "../types.ts";

export type Shell = "bash" | "zsh" | "fish";

export const SHELLS: readonly Shell[] = ["bash", "zsh", "fish"];

/** What may follow the words of a command. */
interface Step {
  /** Names of the commands before: empty, or `azure check-size`. */
  readonly path: readonly string[];
  readonly commands: readonly Command[];
  readonly flags: readonly Flag[];
}

const HELP: Flag = { names: ["--help", "-h"], doc: "show this help" };

function stepsOf(commands: readonly Command[], path: readonly string[], flags: readonly Flag[]): Step[] {
  const own: Step = { path, commands, flags };
  const inner = commands.flatMap((command) =>
    stepsOf(command.subcommands ?? [], [...path, command.name], [...command.flags, HELP]),
  );
  return [own, ...inner];
}

/** @param moreFlags that the program takes before a command, besides those of all names. */
export function completionScript(
  shell: Shell,
  program: string,
  commands: readonly Command[],
  moreFlags: readonly Flag[] = [],
): string {
  const steps = stepsOf(commands, [], [...moreFlags, ...GLOBAL_FLAGS]);
  switch (shell) {
    case "bash":
      return bashScript(program, steps);
    case "zsh":
      return `#compdef ${program}\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(program, steps)}`;
    case "fish":
      return fishScript(program, steps);
  }
}

const longNames = (flags: readonly Flag[]) =>
  flags.flatMap(({ names }) => names.filter((name) => name.startsWith("--")));

/** Words that do not begin with a dash tell the command; a value of a flag may be taken for one, which completes less. */
function bashScript(program: string, steps: readonly Step[]): string {
  const name = `_${program.replaceAll("-", "_")}`;
  const cases = steps.map(({ path, commands, flags }) => {
    const words = [...commands.map((command) => command.name), ...longNames(flags)].join(" ");
    return `    "${path.join(" ")}") words="${words}" ;;`;
  });
  const withValue = steps.flatMap(({ flags }) => flags.filter(({ value }) => value !== undefined));
  const valued = [...new Set(withValue.flatMap(({ names }) => names))].join("|");
  const heads = [
    ...new Set(steps.filter(({ path }) => path.length > 0).map(({ path }) => `"${path.join(" ")}"`)),
  ];
  return `${name}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" path="" word words="" i
  case "$previous" in
    ${valued}) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "\${path:+$path }$word" in
      ${heads.join("|")}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ "\${#COMPREPLY[@]}" -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F ${name} ${program}
`;
}

function fishScript(program: string, steps: readonly Step[]): string {
  const lines = steps.flatMap(({ path, commands, flags }) => {
    const condition =
      path.length === 0
        ? "__fish_use_subcommand"
        : path.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
    const none = commands.map((command) => command.name).join(" ");
    const before =
      path.length === 0 || none === ""
        ? condition
        : `${condition}; and not __fish_seen_subcommand_from ${none}`;
    return [
      ...commands.map(
        (command) =>
          `complete -c ${program} -f -n '${before}' -a ${command.name} -d ${quote(command.summary)}`,
      ),
      ...flags.map(({ names, value, doc }) => {
        const long = names.filter((name) => name.startsWith("--")).map((name) => `-l ${name.slice(2)}`);
        const short = names.filter((name) => !name.startsWith("--")).map((name) => `-s ${name.slice(1)}`);
        return `complete -c ${program} -n '${condition}' ${[...long, ...short].join(" ")}${value === undefined ? "" : " -r"} -d ${quote(doc)}`;
      }),
    ];
  });
  return `${lines.join("\n")}\n`;
}

function quote(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
