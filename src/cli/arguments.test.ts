import { describe, expect, test } from "vitest";
import { GLOBAL_FLAGS, parseArguments } from "./arguments.ts";
import { AZURE_COMMAND } from "./azure-command.ts";
import { CHECK_COMMAND } from "./check-command.ts";
import { COMMANDS } from "./commands.ts";
import { CONTAINER_COMMANDS } from "./container-commands.ts";
import { ENV_COMMAND } from "./env-command.ts";
import { commandHelp, programHelp } from "./help.ts";
import { VERSION_COMMAND, versionText } from "./version-command.ts";

const EXEC_COMMAND = CONTAINER_COMMANDS.find(({ name }) => name === "exec");
const [CHECK_SIZE, , PREFLIGHT] = AZURE_COMMAND.subcommands ?? [];

describe("parseArguments()", () => {
  test.each([
    [[], { do: "help", command: undefined }],
    [["--help"], { do: "help", command: undefined }],
    [["-h"], { do: "help", command: undefined }],
    [["help"], { do: "help", command: undefined }],
    [["help", "env"], { do: "help", command: ENV_COMMAND }],
    [["env", "--help"], { do: "help", command: ENV_COMMAND }],
    [["check", "-h"], { do: "help", command: CHECK_COMMAND }],
    [["--version"], { do: "version" }],
    [["-v"], { do: "version" }],
    [["--show-default-config-paths"], { do: "show-paths" }],
    [["--kata-show-default-config-paths"], { do: "show-paths" }],
    [["version"], { do: "run", command: VERSION_COMMAND, flags: new Map(), operands: [] }],
    [
      ["kata-env", "--json"],
      { do: "run", command: ENV_COMMAND, flags: new Map([["json", true]]), operands: [] },
    ],
    [
      ["kata-check", "-v", "-n", "-s"],
      {
        do: "run",
        command: CHECK_COMMAND,
        flags: new Map([
          ["verbose", true],
          ["no-network-checks", true],
          ["strict", true],
        ]),
        operands: [],
      },
    ],
    [
      ["--config", "/c.toml", "check"],
      { do: "run", command: CHECK_COMMAND, flags: new Map([["config", "/c.toml"]]), operands: [] },
    ],
    [
      ["--kata-config=/c=d.toml", "check", "--"],
      { do: "run", command: CHECK_COMMAND, flags: new Map([["config", "/c=d.toml"]]), operands: [] },
    ],
    [["azure"], { do: "help", command: AZURE_COMMAND }],
    [["azure", "--help"], { do: "help", command: AZURE_COMMAND }],
    [["azure", "help", "check-size"], { do: "help", command: CHECK_SIZE }],
    [["help", "azure", "check-size"], { do: "help", command: CHECK_SIZE }],
    [["azure", "check-size", "-h"], { do: "help", command: CHECK_SIZE }],
    [
      ["azure", "check-size", "A", "--json", "B", "--", "--strict"],
      { do: "run", command: CHECK_SIZE, flags: new Map([["json", true]]), operands: ["A", "B", "--strict"] },
    ],
    [
      ["azure", "preflight", "-", "-v"],
      { do: "run", command: PREFLIGHT, flags: new Map([["verbose", true]]), operands: ["-"] },
    ],
    [
      ["exec", "-e", "A=1", "--env=B=2", "-u", "5", "web", "sh", "-c", "ls --env", "--", "-e"],
      {
        do: "run",
        command: EXEC_COMMAND,
        flags: new Map<string, unknown>([
          ["env", ["A=1", "B=2"]],
          ["user", "5"],
        ]),
        operands: ["web", "sh", "-c", "ls --env", "--", "-e"],
      },
    ],
  ])("reads %j", (words, expected) => {
    expect(parseArguments(words, COMMANDS)).toEqual(expected);
  });

  test.each([
    [["chekc"], '"chekc" (no such command; did you mean check?)'],
    [["vresion"], '"vresion" (no such command; did you mean version?)'],
    [["frobnicate"], '"frobnicate" (no such command)'],
    [["env", "--jsn"], '"--jsn" (no such flag; did you mean --json?)'],
    [["--confg", "x"], '"--confg" (no such flag; did you mean --config?)'],
    [["version", "--xml"], '"--xml" (no such flag)'],
    [["--config"], '"--config" (it needs a FILE)'],
    [["--config="], '"--config" (it needs a FILE)'],
    [["env", "--json=yes"], '"--json" (it takes no value)'],
    [["check", "more"], '"more" (check takes no arguments)'],
    [["check", "--", "--json"], '"--json" (check takes no arguments)'],
    [["azure", "chek-size"], '"chek-size" (no such command; did you mean check-size?)'],
    [["azure", "check-size"], '"check-size" (it needs SIZE...)'],
    [["azure", "check-size", "A", "--jsn"], '"--jsn" (no such flag; did you mean --json?)'],
    [["azure", "sizes", "A"], '"A" (sizes takes no arguments)'],
    [["help", "azure", "x"], '"x" (no such command)'],
    [["help", "chekc"], '"chekc" (no such command; did you mean check?)'],
    [["help", "check", "env"], '"env" (help takes one command)'],
    [["kill"], '"kill" (it needs ID [SIGNAL])'],
    [["exec", "--envv", "web"], '"--envv" (no such flag; did you mean --env?)'],
  ])("refuses %j", (words, message) => {
    expect(() => parseArguments(words, COMMANDS)).toThrowError(
      expect.objectContaining({ code: "invalid-argument", message: `read command line: ${message}` }),
    );
  });
});

describe("help", () => {
  test("lists every command and flag, and examples that can be given as they are", () => {
    const text = programHelp("kata-runtime", COMMANDS);
    for (const { name, summary } of COMMANDS)
      expect(text).toMatch(new RegExp(`^  ${name} +${summary}$`, "m"));
    for (const { names, doc } of GLOBAL_FLAGS) expect(text).toMatch(new RegExp(`${names[0]}.* ${doc}$`, "m"));
    expect(examplesIn(text)).toHaveLength(COMMANDS.length);
  });

  const leaves = COMMANDS.flatMap((command) => command.subcommands ?? [command]);
  test.each(leaves)("of $name has its flags and examples that can be given as they are", (command) => {
    const text = commandHelp("kata-runtime", command);
    for (const { names, doc } of command.flags) {
      const isShown = (line: string) => line.includes(` ${names[0]} `) && line.endsWith(` ${doc}`);
      expect(text.split("\n").filter(isShown)).toHaveLength(1);
    }
    const examples = examplesIn(text);
    expect(examples.length).toBe(command.examples.length);
    for (const words of examples) {
      expect(parseArguments(words, COMMANDS)).toMatchObject({ do: "run", command });
    }
  });

  test("of a command with commands lists them", () => {
    const text = commandHelp("kata-runtime", AZURE_COMMAND);
    for (const { name, summary } of AZURE_COMMAND.subcommands ?? []) {
      expect(text).toMatch(new RegExp(`^  ${name} +${summary}$`, "m"));
    }
  });
});

/** The words of the example lines of a help text. */
function examplesIn(text: string): string[][] {
  const section = text.slice(text.indexOf("Examples:\n") + "Examples:\n".length);
  return section
    .split("\n")
    .filter((line) => line.startsWith("  kata-runtime "))
    .map((line) => (line.trim().split(/ {3,}| \| /)[0] ?? "").split(" ").slice(1));
}

test("version is told in the shape of upstream's", () => {
  expect(versionText("kata-runtime")).toMatch(
    /^kata-runtime {2}: \d+\.\d+\.\d+\n {3}commit {3}: ([0-9a-f]{40}(-dirty)?|unknown)\n {3}OCI specs: \d+\.\d+\.\d+\n$/,
  );
});
