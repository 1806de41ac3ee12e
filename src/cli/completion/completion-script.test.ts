import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { COMMANDS } from "../commands.ts";
import { completionScript } from "./completion-script.ts";

/** What bash proposes for the last of `words`. */
function proposals(words: readonly string[]): string[] {
  const script = `${completionScript("bash", "kata-runtime", COMMANDS)}
COMP_WORDS=(kata-runtime "$@"); COMP_CWORD=$#; _kata_runtime; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync("bash", ["-c", script, "bash", ...words], {
    encoding: "utf8",
    timeout: 10_000,
  });
  return output.split("\n").filter((line) => line !== "");
}

describe("the script for bash", () => {
  test.each([
    [["az"], ["azure"]],
    [["azure", "ch"], ["check-size"]],
    [
      ["azure", ""],
      ["check-size", "sizes", "preflight", "plan", "--help"],
    ],
    [["azure", "check-size", "--j"], ["--json"]],
    [["check", "--r"], ["--root"]],
    // A word that is a command elsewhere is told apart by those before it.
    [["config", "check", "--s"], ["--strict"]],
    [["config", "check", "--r"], []],
    [["check", "--verbose", "--js"], ["--json"]],
    [["azure", "sizes", "--skus", "/etc/hostn"], ["/etc/hostname"]],
  ])("completes %j", (words, expected) => {
    expect(proposals(words)).toEqual(expected);
  });

  test("knows every command and every long flag", () => {
    const script = completionScript("bash", "kata-runtime", COMMANDS);
    for (const command of COMMANDS.flatMap((each) => [each, ...(each.subcommands ?? [])])) {
      const path = command.within === undefined ? command.name : `${command.within} ${command.name}`;
      const line = script.split("\n").find((each) => each.startsWith(`    "${path}") words=`)) ?? "";
      const names = command.flags.flatMap((flag) => flag.names.filter((name) => name.startsWith("--")));
      expect(names.filter((name) => !line.includes(name))).toEqual([]);
    }
  });
});

test("the script for zsh is bash's behind zsh's head", () => {
  const bash = completionScript("bash", "kata-runtime", COMMANDS);
  expect(completionScript("zsh", "kata-runtime", COMMANDS)).toBe(
    `#compdef kata-runtime\nautoload -U +X bashcompinit && bashcompinit\n${bash}`,
  );
});

test("the script for fish has a line for each command and flag, with quotes that fish takes", () => {
  const lines = completionScript("fish", "kata-runtime", COMMANDS).trim().split("\n");
  expect(lines).toContain(
    "complete -c kata-runtime -f -n '__fish_seen_subcommand_from azure; and not __fish_seen_subcommand_from check-size sizes preflight plan' -a plan -d 'print the az commands of a set-up that works'",
  );
  expect(lines).toContain(
    "complete -c kata-runtime -n '__fish_seen_subcommand_from azure; and __fish_seen_subcommand_from check-size' -l workload-runtime -r -d 'value that AKS\\'s message quotes (KataMshvVmIsolation)'",
  );
  for (const line of lines) expect(line).toMatch(/^complete -c kata-runtime .* -d '(?:[^'\\]|\\['\\])*'$/);
});
