import { createHash, randomBytes } from "node:crypto";
import { describe, expect } from "vitest";
import { runArguments } from "../harness/ctr.ts";
import { eventually } from "../harness/eventually.ts";
import { test } from "../harness/workbench.ts";

const MEBIBYTE = 1 << 20;

/** Ten megabytes cross an emulated serial line twice, ms. */
const BULK_DEADLINE_MS = 150_000;
/** A change of size, on a busy host, ms. */
const CHANGE_DEADLINE_MS = 60_000;

describe("a container's standard streams", () => {
  test("stdout and stderr arrive apart, each in order", async ({ bench }) => {
    const result = await bench.run("for i in 1 2 3; do echo out$i; echo err$i >&2; done");
    expect(result).toMatchObject({ status: 0, stdout: "out1\nout2\nout3\n", stderr: "err1\nerr2\nerr3\n" });
  });

  test("10 MB pass from stdin to stdout intact", async ({ bench }) => {
    const sent = randomBytes(10 * MEBIBYTE);
    await using live = bench.ctr.startContainer(bench.request(["cat"]));
    live.end(sent);
    const { status, stderr } = await live.exited(BULK_DEADLINE_MS);
    expect({ status, stderr, bytes: live.stdoutBytes.length }).toEqual({
      status: 0,
      stderr: "",
      bytes: sent.length,
    });
    expect(sha256(live.stdoutBytes)).toBe(sha256(sent));
  });

  test("the last output arrives although the workload exits right after it", async ({ bench }) => {
    const result = await bench.run(`dd if=/dev/zero bs=64k count=8 2>/dev/null | tr '\\0' x; printf end`);
    expect(result.status).toBe(0);
    expect(result.stdout.length).toBe(8 * 65536 + 3);
    expect(result.stdout.endsWith("xend")).toBe(true);
  });

  test("the end of stdin reaches the workload, which answers after it", async ({ bench }) => {
    await using live = bench.start("echo ready; wc -c; echo done");
    // ctr passes on the end of its stdin only if it comes after the container was created.
    await live.until("the workload's start", (stdout) => stdout === "ready\n");
    live.write("four");
    live.end();
    expect(await live.exited()).toMatchObject({ status: 0, stdout: "ready\n4\ndone\n" });
  });

  test("a conversation line by line is not held back by buffers", async ({ bench }) => {
    await using live = bench.start('while read -r line; do echo "<$line>"; done');
    for (const word of ["one", "two", "three"]) {
      live.write(`${word}\n`);
      await live.until(`the answer to ${word}`, (stdout) => stdout.endsWith(`<${word}>\n`));
    }
    live.end();
    expect((await live.exited()).status).toBe(0);
  });
});

describe("a container's terminal", () => {
  test("has the client's size, follows its changes and ends with the workload's status", async ({
    bench,
  }) => {
    const args = runArguments(bench.ctr.instance, bench.request(["sh"]), ["--rm", "--tty"]);
    await using terminal = await bench.ctr.startInTerminal(args, { rows: 24, columns: 80 });
    const { live } = terminal;
    await live.until("a prompt", (stdout) => stdout.includes("# "));
    // Each answer is put together by the shell, so that the echo of the typed line is not taken for it.
    live.write("echo first=$(stty size | tr ' ' x)\n");
    await live.until("the first size", (stdout) => stdout.includes("first=24x80"));
    await terminal.resize({ rows: 50, columns: 132 });
    live.write("sleep 1; echo second=$(stty size | tr ' ' x)\n");
    await live.until("the second size", (stdout) => stdout.includes("second=50x132"));
    live.write("tty; exit 9\n");
    expect((await live.exited()).status).toBe(9);
    expect(live.stdout).toMatch(/\/dev\/(pts\/0|console)\r+\n/);
  });

  test("tells the workload of a change of its size by SIGWINCH", async ({ bench }) => {
    const script = "trap 'echo changed=$(stty size)' WINCH; echo ready; while :; do sleep 0.1; done";
    const request = bench.request(["sh", "-c", script]);
    const { id } = request;
    const args = runArguments(bench.ctr.instance, request, ["--rm", "--tty"]);
    await using terminal = await bench.ctr.startInTerminal(args, { rows: 24, columns: 80 });
    await terminal.live.until("the workload's start", (stdout) => stdout.includes("ready"));
    // ctr itself sets the first size at the start, which may or may not come before the trap; it follows changes from a moment after that on.
    await eventually("the change", CHANGE_DEADLINE_MS, async () => {
      await terminal.resize({ rows: 30, columns: 90 });
      await terminal.resize({ rows: 40, columns: 100 });
      return terminal.live.stdout.includes("changed=40 100") || undefined;
    });
    await bench.ctr.must(["task", "kill", "--signal", "SIGKILL", id]);
    expect((await terminal.live.exited()).status).toBe(137);
  });

  test("Ctrl-C interrupts the foreground command and not the shell", async ({ bench }) => {
    const args = runArguments(bench.ctr.instance, bench.request(["sh"]), ["--rm", "--tty"]);
    await using terminal = await bench.ctr.startInTerminal(args, { rows: 24, columns: 80 });
    const { live } = terminal;
    await live.until("a prompt", (stdout) => stdout.includes("# "));
    // The command itself says that it runs: between two of a line, the shell may be starting the second.
    live.write("sh -c 'echo begin$((1+1)); exec sleep 600'\n");
    await live.until("the command's start", (stdout) => stdout.includes("begin2"));
    live.write("\u0003");
    live.write("echo status=$?-alive; exit 0\n");
    await live.until("the shell's answer", (stdout) => stdout.includes("status=130-alive"));
    expect((await live.exited()).status).toBe(0);
  });
});

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
