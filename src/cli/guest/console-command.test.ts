import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { ConsoleCommand, quoted } from "./console-command.ts";
import { parseAgentUrl } from "./console-session.ts";

const MARK = "0123456789ab".repeat(2);

/** What a real shell makes of the command, given to the reader in pieces of `piece`. */
function run(
  args: readonly string[],
  piece: number,
): { readonly output: string; readonly status: number | undefined } {
  const command = new ConsoleCommand(args, MARK);
  const { stdout } = spawnSync("sh", [], { input: command.input, encoding: "utf8" });
  // What a terminal echoes comes before.
  const text = `${command.input}${stdout}`;
  let [output, status]: [string, number | undefined] = ["", undefined];
  for (let at = 0; at < text.length && status === undefined; at += piece) {
    const taken = command.take(text.slice(at, at + piece));
    output += taken.output;
    status = taken.status;
  }
  return { output, status };
}

test.each([1, 7, 4096])("a command on a console gives its output and status, in pieces of %i", (piece) => {
  expect(run(["printf", "%s\n", "it's", "a b", "$HOME"], piece)).toEqual({
    output: "it's\na b\n$HOME\n",
    status: 0,
  });
  expect(run(["sh", "-c", "echo x; exit 7"], piece)).toEqual({ output: "x\n", status: 7 });
  expect(run(["no-such-program"], piece).status).toBe(127);
});

test("quoted() leaves plain words as they are", () => {
  expect(["ls", "-l", "/a.b", "a b", "", "it's"].map(quoted)).toEqual([
    "ls",
    "-l",
    "/a.b",
    "'a b'",
    "''",
    "'it'\\''s'",
  ]);
});

test("parseAgentUrl() knows both kinds, and nothing else", () => {
  expect(parseAgentUrl("vsock://17:1024")).toEqual({ kind: "vsock", cid: 17 });
  expect(parseAgentUrl("hvsock:///run/vc/vm/a/clh.sock:1024")).toEqual({
    kind: "hvsock",
    path: "/run/vc/vm/a/clh.sock",
  });
  for (const url of ["", "vsock://x:1", "http://a", "hvsock://relative:1"]) {
    expect(() => parseAgentUrl(url)).toThrow("find the guest");
  }
});
