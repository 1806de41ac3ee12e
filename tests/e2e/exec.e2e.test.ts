import { describe, expect } from "vitest";
import { test } from "../harness/workbench.ts";

const IDLE = "echo from-first > /tmp/first; while :; do sleep 1; done";

describe("ctr task exec", () => {
  test("ends with its own process's status, apart streams, and leaves the container running", async ({
    bench,
  }) => {
    const id = await bench.detach(IDLE);
    const result = await bench.exec(id, "echo out; echo err >&2; exit 23");
    expect(result).toMatchObject({ status: 23, stdout: "out\n", stderr: "err\n" });
    expect(await bench.ctr.taskState(id)).toMatchObject({ state: "RUNNING" });
  });

  test("ends with 128 + signal number when its process dies of a signal", async ({ bench }) => {
    const id = await bench.detach(IDLE);
    expect(await bench.exec(id, "kill -KILL $$")).toMatchObject({ status: 137 });
    expect(await bench.exec(id, "kill -TERM $$")).toMatchObject({ status: 143 });
  });

  test("sees the container's files, processes and host name", async ({ bench }) => {
    const id = await bench.detach(IDLE, ["--env", "FROM=spec"]);
    const script =
      "until [ -s /tmp/first ]; do sleep 0.1; done; cat /tmp/first; tr '\\0' ' ' < /proc/1/cmdline; echo; echo $FROM";
    const result = await bench.exec(id, script);
    expect(result).toMatchObject({ status: 0, stdout: `from-first\nsh -c ${IDLE} \nspec\n` });
  });

  test("takes stdin to its end", async ({ bench }) => {
    const id = await bench.detach(IDLE);
    const result = await bench.exec(id, "sort -r", [], { stdin: "a\nb\nc\n" });
    expect(result).toMatchObject({ status: 0, stdout: "c\nb\na\n" });
  });

  test("runs as another user in another directory when asked", async ({ bench }) => {
    const id = await bench.detach(IDLE);
    const result = await bench.exec(id, "id -u; id -g; pwd", ["--user", "65534:65534", "--cwd", "/home"]);
    expect(result).toMatchObject({ status: 0, stdout: "65534\n65534\n/home\n" });
  });

  test("gives the process a terminal of its own when asked", async ({ bench }) => {
    const id = await bench.detach(IDLE);
    const args = bench.ctr.execArguments(id, bench.newId(), ["--tty"], ["sh"]);
    await using terminal = await bench.ctr.startInTerminal(args, { rows: 30, columns: 100 });
    await terminal.live.until("a prompt", (stdout) => stdout.includes("# "));
    terminal.live.write("echo size=$(stty size | tr ' ' x)\n");
    await terminal.live.until("the size", (stdout) => stdout.includes("size=30x100"));
    terminal.live.write("exit 5\n");
    expect((await terminal.live.exited()).status).toBe(5);
  });

  test("serves several processes at the same time, each its own", async ({ bench }) => {
    const id = await bench.detach(IDLE);
    const results = await Promise.all(
      [11, 12, 13, 14].map((status) =>
        bench.exec(id, `cat; echo ${status}; exit ${status}`, [], { stdin: "in " }),
      ),
    );
    expect(results.map(({ status, stdout }) => ({ status, stdout }))).toEqual(
      [11, 12, 13, 14].map((status) => ({ status, stdout: `in ${status}\n` })),
    );
  });

  test("names the program when it does not exist, and the container lives on", async ({ bench }) => {
    const id = await bench.detach(IDLE);
    const result = await bench.ctr.call(bench.ctr.execArguments(id, bench.newId(), [], ["/no/such/program"]));
    expect(result.status).not.toBe(0);
    expect(result.stderr).toContain("/no/such/program");
    expect(await bench.exec(id, "exit 3")).toMatchObject({ status: 3 });
  });

  test("refuses a container that has stopped", async ({ bench }) => {
    const id = await bench.detach("exit 0");
    await expect.poll(() => bench.ctr.taskState(id), { timeout: 10_000 }).toMatchObject({ state: "STOPPED" });
    const result = await bench.exec(id, "echo alive");
    expect(result.status).not.toBe(0);
    expect(result.stdout).toBe("");
  });
});
