import { expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import { CALL, NOW_MS, ShimBench } from "../testing/shim-bench.ts";

const INIT = { id: "c", execId: "" };
const EXIT_TIME = { seconds: BigInt(Math.floor(NOW_MS / 1000)), nanos: 250_000_000 };
const refusedWith = (code: string) => expect.objectContaining({ code });

test("an exec has a life, an end and events of its own", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  await shim.exec("c", "e");
  const exec = { id: "c", execId: "e" };
  expect(await shim.task.state(exec, CALL)).toMatchObject({ id: "c", execId: "e", status: 1 });
  await shim.task.resizePty({ ...exec, width: 80, height: 24 }, CALL);
  expect(await shim.task.start(exec, CALL)).toEqual({ pid: 4711 });
  shim.sandbox.exit("c", 3, "e");
  const end = { exitStatus: 3, exitedAt: EXIT_TIME };
  expect(await shim.task.wait(exec, CALL)).toEqual(end);
  expect(await shim.task.delete(exec, CALL)).toEqual({ pid: 4711, ...end });
  await expect(shim.task.state(exec, CALL)).rejects.toEqual(refusedWith("not-found"));
  expect(shim.events.slice(2)).toEqual([
    { topic: "/tasks/exec-added", containerId: "c", execId: "e" },
    { topic: "/tasks/exec-started", containerId: "c", execId: "e", pid: 4711 },
    { topic: "/tasks/exit", containerId: "c", id: "e", pid: 4711, ...end },
  ]);
  expect(await shim.task.state(INIT, CALL)).toMatchObject({ status: 2 });
});

test("an exec's process gets the terminal and the size that were asked for before its start", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  const spec = {
    typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process",
    value: new TextEncoder().encode('{"cwd":"/w","args":["sh"],"terminal":false}'),
  };
  const exec = { id: "c", execId: "e" };
  await shim.task.exec({ ...exec, terminal: true, stdin: "", stdout: "", stderr: "", spec }, CALL);
  await shim.task.resizePty({ ...exec, width: 100, height: 30 }, CALL);
  await shim.task.start(exec, CALL);
  expect(shim.sandbox.execs[0]?.process).toMatchObject({
    cwd: "/w",
    args: ["sh"],
    terminal: true,
    consoleSize: { width: 100, height: 30 },
  });
  await shim.task.resizePty({ ...exec, width: 132, height: 50 }, CALL);
  expect(shim.sandbox.asked.at(-1)).toBe("resize c/e 50x132");
});

test("an exec's streams are open from its start, and not after one that failed", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  await shim.exec("c", "e");
  shim.streams.length = 0;
  const exec = { id: "c", execId: "e" };
  await shim.task.closeIO({ ...exec, stdin: true }, CALL);
  expect(shim.streams).toEqual([]);
  const failure = new KataError("not-found", { operation: "run program", object: "/no/such/program" });
  shim.sandbox.failures.set("exec", failure);
  await expect(shim.task.start(exec, CALL)).rejects.toBe(failure);
  expect(shim.streams).toEqual(["c/e open", "c/e close-stdin", "c/e close"]);
  expect(shim.topics.at(-1)).toBe("/tasks/exec-added");
  expect(await shim.task.delete(exec, CALL)).toMatchObject({ exitStatus: 137 });
});

test("the end of the first process ends the execs, and is told after theirs", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  await shim.exec("c", "e");
  await shim.task.start({ id: "c", execId: "e" }, CALL);
  shim.sandbox.exit("c", 0);
  await shim.settle();
  expect(shim.sandbox.asked).toContain("signal c/e 9");
  expect(shim.events.slice(-2)).toMatchObject([
    { topic: "/tasks/exit", id: "e", exitStatus: 137 },
    { topic: "/tasks/exit", id: "c", exitStatus: 0 },
  ]);
});

test("no process joins a container whose first one has ended, although its end is not told yet", async () => {
  const shim = new ShimBench();
  shim.drained = () => new Promise(() => undefined);
  await shim.run("c");
  await shim.exec("c", "early");
  shim.sandbox.exit("c", 0);
  await shim.settle();
  expect(shim.topics.at(-1)).toBe("/tasks/exec-added");
  await expect(shim.exec("c", "late")).rejects.toEqual(refusedWith("failed-precondition"));
  await expect(shim.task.start({ id: "c", execId: "early" }, CALL)).rejects.toEqual(
    refusedWith("failed-precondition"),
  );
});

test("an exec that outlives its container holds its end up for ten seconds", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  await shim.exec("c", "e");
  await shim.task.start({ id: "c", execId: "e" }, CALL);
  shim.sandbox.diesOfSignals = false;
  shim.sandbox.exit("c", 0);
  await shim.settle();
  expect(shim.topics).not.toContain("/tasks/exit");
  shim.clock.advance(10_000);
  await shim.settle();
  expect(shim.events.at(-1)).toMatchObject({ topic: "/tasks/exit", id: "c", exitStatus: 0 });
});
