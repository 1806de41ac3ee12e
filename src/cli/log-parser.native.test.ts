/** `kata-runtime log-parser` as a user runs it. */
import { mkdirAll, readTextFile, removeTree, writeFile } from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { assertEqual, runTests, test } from "../sys/testing/native-test.ts";
import { runKataRuntime as run } from "./testing/run-kata-runtime.ts";

const record = (second: number, message: string) =>
  `time="2026-01-02T03:04:0${second}Z" level=info msg=${message} name=n pid=1 source=s\n`;

async function withLogs(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = `/tmp/kata-log-parser-test-${getpid()}`;
  mkdirAll(directory, 0o700);
  try {
    writeFile(`${directory}/a`, `${record(1, "one")}odd line\n${record(3, "three")}`);
    writeFile(`${directory}/b`, record(2, "two"));
    writeFile(`${directory}/empty`, "");
    await body(directory);
  } finally {
    removeTree(directory);
  }
}

test("log-parser merges two logs and tells which line is no record", () =>
  withLogs(async (directory) => {
    const { status, stdout, stderr } = await run(["log-parser", `${directory}/a`, `${directory}/b`]);
    const messages = stdout.split("\n").map((line) => line.slice(line.lastIndexOf(" ") + 1));
    assertEqual(
      [status, messages, stderr],
      [0, ["one", "two", "three", ""], `${directory}/a:2: it is neither logfmt nor JSON\n`],
    );
  }));

test("log-parser writes JSON to a file, and quietly", () =>
  withLogs(async (directory) => {
    const args = ["log-parser", "-q", "--output-format", "json", "-o", `${directory}/out`, `${directory}/a`];
    assertEqual(await run(args), { status: 0, stdout: "", stderr: "" });
    const { Entries } = JSON.parse(readTextFile(`${directory}/out`)) as {
      Entries: { Msg: string; TimeDelta: number }[];
    };
    assertEqual(
      Entries.map(({ Msg, TimeDelta }) => [Msg, TimeDelta]),
      [
        ["one", 0],
        ["three", 2_000_000_000],
      ],
    );
  }));

test("log-parser reads stdin, and with --strict fails for a line that is no record", () =>
  withLogs(async (directory) => {
    const strict = await run(["log-parser", "--strict", "--check-only", "-"], { stdin: `${directory}/a` });
    assertEqual(strict, { status: 1, stdout: "", stderr: "-:2: it is neither logfmt nor JSON\n" });
    const right = await run(["log-parser", "--strict", "--check-only", "-"], { stdin: `${directory}/b` });
    assertEqual(right, { status: 0, stdout: "", stderr: "" });
  }));

test("log-parser fails for an empty log if it is told to", () =>
  withLogs(async (directory) => {
    const file = `${directory}/empty`;
    assertEqual((await run(["log-parser", file])).status, 0);
    for (const [flag, hint] of [
      ["--error-if-file-empty", "the file is empty"],
      ["--error-if-no-records", "no line is a record"],
    ] as const) {
      const { status, stderr } = await run(["log-parser", flag, file]);
      assertEqual([status, stderr], [1, `kata-runtime: read log: ${file} (${hint})\n`]);
    }
  }));

test("log-parser names its formats, and refuses another", async () => {
  const formats = await run(["log-parser", "--list-output-formats"]);
  assertEqual(formats.stdout, "text\ncsv\njson\nron\ntoml\nxml\nyaml\n");
  const { status, stderr } = await run(["log-parser", "--output-format", "yml", "-"]);
  assertEqual(
    [status, stderr.includes("did you mean xml?") || stderr.includes("did you mean yaml?")],
    [125, true],
    stderr,
  );
});

runTests();
