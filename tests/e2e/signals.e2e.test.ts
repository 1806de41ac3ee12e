import { describe, expect } from "vitest";
import { test } from "../harness/workbench.ts";

const PATIENT = "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.1; done";
const STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done";

describe("a signal", () => {
  test("that the workload handles is handled: SIGTERM through ctr task kill", async ({ bench }) => {
    const id = bench.newId();
    await using live = bench.start(PATIENT, [], id);
    await live.until("the workload's start", (stdout) => stdout.includes("ready"));
    await bench.ctr.must(["task", "kill", "--signal", "SIGTERM", id]);
    expect(await live.exited()).toMatchObject({ status: 7, stdout: "ready\ncaught\n" });
  });

  test("that the client gets is forwarded to the workload", async ({ bench }) => {
    const id = bench.newId();
    await using live = bench.start(PATIENT, [], id);
    await live.until("the workload's start", (stdout) => stdout.includes("ready"));
    // ctr begins to forward a moment after the workload has begun, and shows it by nothing; a round trip takes longer.
    expect((await bench.exec(id, "exit 0")).status).toBe(0);
    live.signal("SIGTERM");
    expect(await live.exited()).toMatchObject({ status: 7, stdout: "ready\ncaught\n" });
  });

  test("that cannot be ignored ends a workload that ignores the others", async ({ bench }) => {
    const id = bench.newId();
    await using live = bench.start(STUBBORN, [], id);
    await live.until("the workload's start", (stdout) => stdout.includes("ready"));
    await bench.ctr.must(["task", "kill", "--signal", "SIGTERM", id]);
    // SIGTERM and its being ignored leave no trace; a round trip through the same path comes after them.
    expect((await bench.exec(id, "exit 0")).status).toBe(0);
    expect(await bench.ctr.taskState(id)).toMatchObject({ state: "RUNNING" });
    await bench.ctr.must(["task", "kill", "--signal", "SIGKILL", id]);
    expect(await live.exited()).toMatchObject({ status: 137 });
  });

  test("to one exec'd process leaves the container's others alone", async ({ bench }) => {
    const id = await bench.detach("while :; do sleep 1; done");
    const execId = bench.newId();
    await using live = bench.ctr.start(bench.ctr.execArguments(id, execId, [], ["sh", "-c", PATIENT]));
    await live.until("the process's start", (stdout) => stdout.includes("ready"));
    await bench.ctr.must(["task", "kill", "--exec-id", execId, "--signal", "SIGTERM", id]);
    expect(await live.exited()).toMatchObject({ status: 7 });
    expect(await bench.ctr.taskState(id)).toMatchObject({ state: "RUNNING" });
  });

  test("to a container that does not exist is refused", async ({ bench }) => {
    const result = await bench.ctr.call(["task", "kill", "--signal", "SIGTERM", bench.newId()]);
    expect(result.status).not.toBe(0);
    expect(result.stderr).toMatch(/not found/);
  });
});
