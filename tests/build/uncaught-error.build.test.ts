import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { buildEngine } from "../../scripts/build/engine.ts";
import { buildProgram } from "../../scripts/build/program.ts";
import { runCommand } from "../harness/command.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const SOURCE = "tests/build/fixtures/uncaught-error.ts";
const PROGRAM = "build/test/uncaught-error";

/** EX_SOFTWARE. Source: sysexits.h. */
const EXIT_UNCAUGHT = 70;

beforeAll(async () => {
  await buildProgram(ROOT, await buildEngine(ROOT, () => undefined), { entry: SOURCE, output: PROGRAM });
}, 120_000);

/** `FILE:LINE` of the only line of the fixture with `text`. */
function placeOf(text: string, source = SOURCE): string {
  const lines = readFileSync(join(ROOT, source), "utf8").split("\n");
  const found = lines.flatMap((line, index) => (line.includes(text) ? [index + 1] : []));
  expect(found).toHaveLength(1);
  return `${source}:${found[0]}`;
}

describe("an uncaught error of a binary", () => {
  const cases: [how: string, first: string, frames: string[]][] = [
    ["synchronous", "KataError", ["throw new KataError(", "> 0) innermost()"]],
    ["asynchronous", "KataError", ["throw new KataError(", "> 0) innermost()"]],
    ["unattended", "KataError", ["throw new KataError(", "> 0) innermost()"]],
    ["type-error", "TypeError", ["as unknown as"]],
  ];
  for (const [how, first, frames] of cases) {
    test(`shows TypeScript files and lines on stderr and exits with ${EXIT_UNCAUGHT} when it is ${how}`, async () => {
      const { status, stdout, stderr } = await runCommand(join(ROOT, PROGRAM), [how]);
      expect({ status, stdout }).toEqual({ status: EXIT_UNCAUGHT, stdout: "" });
      const [message = "", ...stack] = stderr.trimEnd().split("\n");
      expect(message.startsWith(first), stderr).toBe(true);
      // The constructor of our own error class is on the stack as well.
      const ours = stack.filter((line) => line.includes(SOURCE));
      for (const [index, text] of frames.entries()) expect(ours[index], stderr).toContain(placeOf(text));
      expect(stderr).not.toContain("bundle.js");
    });
  }

  test("shows them in a part that was read later, too, down to the part that called it", async () => {
    const { status, stderr } = await runCommand(join(ROOT, PROGRAM), ["in-a-part"]);
    expect(status).toBe(EXIT_UNCAUGHT);
    expect(stderr).toContain(placeOf("throw new KataError(", "tests/build/fixtures/failing-part.ts"));
    expect(stderr).toContain(placeOf("failInPart()"));
    expect(stderr).not.toMatch(/chunk-|failing-part-/);
  });

  test("is none when nothing fails", async () => {
    expect(await runCommand(join(ROOT, PROGRAM), [])).toMatchObject({ status: 0, stdout: "", stderr: "" });
  });
});
