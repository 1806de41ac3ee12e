import { expect, test } from "vitest";
import { decodeMetrics } from "../../../build/generated/cgroups-v1.ts";
import { KataError } from "../../kata-error.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import { FakeSandbox } from "../testing/fake-sandbox.ts";
import { CALL, NOW_MS, podAnnotations, SHIM_PID, ShimBench } from "../testing/shim-bench.ts";
import { taskServices } from "./task-service.ts";

const INIT = { id: "c", execId: "" };
const EXIT_TIME = { seconds: BigInt(Math.floor(NOW_MS / 1000)), nanos: 250_000_000 };
const refusedWith = (code: string) => expect.objectContaining({ code });

test("a container's life is told in order, with the same end everywhere", async () => {
  const shim = new ShimBench();
  expect(await shim.create("c")).toEqual({ pid: 4711 });
  expect(await shim.task.state(INIT, CALL)).toMatchObject({
    id: "c",
    pid: 4711,
    status: 1,
    bundle: "/bundles/c",
  });
  expect(await shim.task.start(INIT, CALL)).toEqual({ pid: 4711 });
  expect(await shim.task.state(INIT, CALL)).toMatchObject({
    status: 2,
    stdout: "/fifo/out",
    stderr: "/fifo/err",
  });
  const waiting = [shim.task.wait(INIT, CALL), shim.task.wait(INIT, CALL)];
  shim.sandbox.exit("c", 42);
  const end = { exitStatus: 42, exitedAt: EXIT_TIME };
  expect(await Promise.all(waiting)).toEqual([end, end]);
  expect(await shim.task.wait(INIT, CALL)).toEqual(end);
  expect(await shim.task.state(INIT, CALL)).toMatchObject({ status: 3, ...end });
  expect(await shim.task.delete(INIT, CALL)).toEqual({ pid: 4711, ...end });
  await shim.task.shutdown({ id: "c", now: false }, CALL);
  await shim.pod.ended;

  expect(shim.events).toEqual([
    expect.objectContaining({ topic: "/tasks/create", containerId: "c", bundle: "/bundles/c", pid: 4711 }),
    { topic: "/tasks/start", containerId: "c", pid: 4711 },
    { topic: "/tasks/exit", containerId: "c", id: "c", pid: 4711, ...end },
    { topic: "/tasks/delete", containerId: "c", id: "", pid: 4711, ...end },
  ]);
  expect(shim.sandbox.asked).toEqual(["create c", "start c", "remove c", "stop"]);
  expect(shim.streams).toEqual(["c/ open", "c/ start", "c/ close"]);
  expect(shim.claims).toEqual(new Set());
});

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

test("the output is handed over before the end is told", async () => {
  const shim = new ShimBench();
  let handOver: () => void = () => undefined;
  shim.drained = () =>
    new Promise((resolve) => {
      handOver = resolve;
    });
  await shim.run("c");
  shim.sandbox.exit("c", 0);
  await shim.settle();
  expect(await shim.task.state(INIT, CALL)).toMatchObject({ status: 2 });
  handOver();
  await shim.settle();
  expect(await shim.task.state(INIT, CALL)).toMatchObject({ status: 3 });
});

test("a lost machine ends everything with 255", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  await shim.exec("c", "e");
  await shim.exec("c", "never-started");
  await shim.task.start({ id: "c", execId: "e" }, CALL);
  const never = shim.task.wait({ id: "c", execId: "never-started" }, CALL);
  shim.sandbox.die();
  expect(await never).toMatchObject({ exitStatus: 255 });
  expect(await shim.task.wait(INIT, CALL)).toMatchObject({ exitStatus: 255 });
  expect(shim.events.slice(-2)).toMatchObject([
    { topic: "/tasks/exit", id: "e", exitStatus: 255 },
    { topic: "/tasks/exit", id: "c", exitStatus: 255 },
  ]);
  expect(await shim.task.delete(INIT, CALL)).toMatchObject({ exitStatus: 255 });
  await shim.task.shutdown({ id: "c", now: false }, CALL);
  await shim.pod.ended;
});

test("containers of a pod share its sandbox, which lives until the last is deleted", async () => {
  const shim = new ShimBench();
  await shim.run("p", podAnnotations("sandbox", "p"));
  await shim.run("m", podAnnotations("container", "p"));
  expect(shim.sandboxes).toHaveLength(1);
  for (const id of ["p", "m"]) {
    shim.sandbox.exit(id, 0);
    await shim.task.wait({ id, execId: "" }, CALL);
    expect(shim.sandbox.asked).not.toContain("stop");
    await shim.task.delete({ id, execId: "" }, CALL);
    await shim.task.shutdown({ id, now: false }, CALL);
  }
  await shim.pod.ended;
  expect(shim.sandbox.asked.at(-1)).toBe("stop");
});

test("a member of another pod, or of one that was not started, is refused", async () => {
  const shim = new ShimBench();
  await expect(shim.create("m", podAnnotations("container", "p"))).rejects.toEqual(
    refusedWith("failed-precondition"),
  );
  await shim.run("p", podAnnotations("sandbox", "p"));
  await expect(shim.create("m", podAnnotations("container", "other"))).rejects.toEqual(
    refusedWith("failed-precondition"),
  );
  await expect(shim.create("p", podAnnotations("sandbox", "p"))).rejects.toEqual(
    refusedWith("already-exists"),
  );
});

test("a shim has one sandbox", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  await expect(shim.create("d")).rejects.toEqual(refusedWith("already-exists"));
});

test("a creation that fails in the guest leaves nothing", async () => {
  const shim = new ShimBench();
  const failure = new KataError("not-found", { operation: "run program", object: "/no/such/program" });
  shim.boot = async ({ id }) => {
    const sandbox = new FakeSandbox(id);
    sandbox.failures.set("create", failure);
    return sandbox;
  };
  await expect(shim.create("c")).rejects.toBe(failure);
  expect(shim.sandbox.asked).toEqual(["create c", "stop"]);
  expect(shim.streams).toEqual(["c/ open", "c/ close"]);
  expect(shim.claims).toEqual(new Set());
  expect(shim.events).toEqual([]);
  await expect(shim.task.delete(INIT, CALL)).rejects.toEqual(refusedWith("not-found"));
  await shim.task.shutdown({ id: "c", now: false }, CALL);
  await shim.pod.ended;
});

test.each([
  ["its connection ends", (_shim: ShimBench, caller: CancelSource) => caller.cancel()],
  [
    "the container is deleted meanwhile",
    async (shim: ShimBench) => {
      await expect(shim.task.delete(INIT, CALL)).rejects.toEqual(refusedWith("not-found"));
    },
  ],
])("a creation whose boot is under way is given up when %s", async (_when, giveUp) => {
  const shim = new ShimBench();
  const caller = new CancelSource();
  shim.boot = ({ signal }) =>
    new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  const creating = shim.create("c", {}, { ...CALL, signal: caller.signal });
  creating.catch(() => undefined);
  await shim.settle();
  await giveUp(shim, caller);
  await expect(creating).rejects.toEqual(refusedWith("cancelled"));
  expect(shim.claims).toEqual(new Set());
  expect(shim.pod.isInUse).toBe(false);
});

test("a container that was never started can be killed and is told of", async () => {
  const shim = new ShimBench();
  await shim.create("c");
  const waiting = shim.task.wait(INIT, CALL);
  await shim.task.kill({ ...INIT, signal: 9, all: true }, CALL);
  expect(shim.sandbox.asked.at(-1)).toBe("signal c/ 9 all");
  expect(await waiting).toMatchObject({ exitStatus: 137 });
  expect(shim.topics).toEqual(["/tasks/create", "/tasks/exit"]);
});

test("a container whose start failed is created still, and can be killed although the guest has lost it", async () => {
  const shim = new ShimBench();
  await shim.create("c");
  const failure = new KataError("not-found", { operation: "run program", object: "/no/such/program" });
  shim.sandbox.failures.set("start", failure);
  shim.sandbox.failures.set("signal", new KataError("not-found", { operation: "signal", object: "c" }));
  await expect(shim.task.start(INIT, CALL)).rejects.toBe(failure);
  expect(await shim.task.state(INIT, CALL)).toMatchObject({ status: 1 });
  await shim.task.kill({ ...INIT, signal: 9, all: true }, CALL);
  expect(await shim.task.delete(INIT, CALL)).toMatchObject({ exitStatus: 137 });
});

test("pause and resume change the state and are told", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  await shim.task.pause({ id: "c" }, CALL);
  expect(await shim.task.state(INIT, CALL)).toMatchObject({ status: 4 });
  await expect(shim.task.delete(INIT, CALL)).rejects.toEqual(refusedWith("failed-precondition"));
  await shim.task.resume({ id: "c" }, CALL);
  expect(await shim.task.state(INIT, CALL)).toMatchObject({ status: 2 });
  expect(shim.topics.slice(-2)).toEqual(["/tasks/paused", "/tasks/resumed"]);
});

test.each<[what: string, code: string, act: (shim: ShimBench) => Promise<unknown>]>([
  ["an unknown container", "not-found", (shim) => shim.task.state({ id: "x", execId: "" }, CALL)],
  ["an unknown exec", "not-found", (shim) => shim.task.state({ id: "c", execId: "x" }, CALL)],
  ["to start what runs", "failed-precondition", (shim) => shim.task.start(INIT, CALL)],
  ["to resume what runs", "failed-precondition", (shim) => shim.task.resume({ id: "c" }, CALL)],
  ["to delete what runs", "failed-precondition", (shim) => shim.task.delete(INIT, CALL)],
  ["signal 0", "invalid-argument", (shim) => shim.task.kill({ ...INIT, signal: 0, all: false }, CALL)],
  ["signal 65", "invalid-argument", (shim) => shim.task.kill({ ...INIT, signal: 65, all: false }, CALL)],
  ["an exec without a name", "invalid-argument", (shim) => shim.exec("c", "")],
  ["an exec whose name is a path", "invalid-argument", (shim) => shim.exec("c", "../x")],
  ["an exec of no process", "invalid-argument", (shim) => shim.exec("c", "e", { args: 1 })],
  [
    "a second exec of that name",
    "already-exists",
    async (shim) => {
      await shim.exec("c", "e");
      await shim.exec("c", "e");
    },
  ],
  [
    "to kill an exec that was not started",
    "failed-precondition",
    async (shim) => {
      await shim.exec("c", "e");
      await shim.task.kill({ id: "c", execId: "e", signal: 9, all: false }, CALL);
    },
  ],
  [
    "to kill what has ended",
    "not-found",
    async (shim) => {
      shim.sandbox.exit("c", 0);
      await shim.task.wait(INIT, CALL);
      await shim.task.kill({ ...INIT, signal: 15, all: false }, CALL);
    },
  ],
  [
    "statistics of what has ended",
    "failed-precondition",
    async (shim) => {
      shim.sandbox.exit("c", 0);
      await shim.task.wait(INIT, CALL);
      await shim.task.stats({ id: "c" }, CALL);
    },
  ],
  ["a checkpoint", "unimplemented", (shim) => shim.task.checkpoint({ id: "c", path: "" }, CALL)],
  [
    "an update by nothing",
    "invalid-argument",
    (shim) => shim.task.update({ id: "c", annotations: new Map() }, CALL),
  ],
])("%s is refused as %s", async (_what, code, act) => {
  const shim = new ShimBench();
  await shim.run("c");
  await expect(act(shim)).rejects.toEqual(refusedWith(code));
});

test("update hands the limits to the guest, with all digits", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  const resources = {
    typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources",
    value: new TextEncoder().encode('{"memory":{"limit":67108864},"pids":{"limit":5}}'),
  };
  await shim.task.update({ id: "c", resources, annotations: new Map() }, CALL);
  expect(shim.sandbox.asked.at(-1)).toBe('update c {"memory":{"limit":67108864},"pids":{"limit":5}}');
});

test("stats are metrics of the host's kind", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  const { stats } = await shim.task.stats({ id: "c" }, CALL);
  expect(stats?.typeUrl).toBe("io.containerd.cgroups.v1.Metrics");
  expect(decodeMetrics(stats?.value ?? new Uint8Array(0))).toMatchObject({
    memory: { usage: { usage: 4096n, max: 8192n, limit: 1n << 63n } },
    pids: { current: 1n },
  });
});

test("pids lists the machine's process for the container and each exec that runs", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  await shim.exec("c", "idle");
  await shim.exec("c", "e");
  await shim.task.start({ id: "c", execId: "e" }, CALL);
  const { processes } = await shim.task.pids({ id: "c" }, CALL);
  expect(processes).toEqual([
    { pid: 4711 },
    { pid: 4711, info: { typeUrl: "containerd.runc.v1.ProcessDetails", value: Uint8Array.of(10, 1, 101) } },
  ]);
});

test("connect answers for an unknown container too", async () => {
  const shim = new ShimBench();
  expect(await shim.task.connect({ id: "x" }, CALL)).toEqual({ shimPid: SHIM_PID, taskPid: 0, version: "2" });
  await shim.run("c");
  expect(await shim.task.connect({ id: "c" }, CALL)).toEqual({
    shimPid: SHIM_PID,
    taskPid: 4711,
    version: "2",
  });
});

test("closeIO ends the stdin of the process", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  await shim.task.closeIO({ ...INIT, stdin: true }, CALL);
  expect(shim.streams.at(-1)).toBe("c/ close-stdin");
});

test("a shortage of memory is told, and noted where CRI-O looks for it", async () => {
  const shim = new ShimBench();
  await shim.run("c", {
    "io.kubernetes.cri-o.ContainerType": "sandbox",
    "io.kubernetes.cri-o.SandboxID": "c",
  });
  shim.sandbox.runOutOfMemory("c");
  await shim.settle();
  shim.sandbox.runOutOfMemory("c");
  await shim.settle();
  expect(shim.events.slice(-2)).toEqual([
    { topic: "/tasks/oom", containerId: "c" },
    { topic: "/tasks/oom", containerId: "c" },
  ]);
  expect(shim.outOfMemory).toEqual(["/bundles/c", "/bundles/c"]);
});

test("shutdown leaves a shim alone that has containers, unless it is to be now", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  await shim.task.shutdown({ id: "c", now: false }, CALL);
  expect(shim.sandbox.asked).not.toContain("stop");
  await shim.task.shutdown({ id: "c", now: true }, CALL);
  await shim.pod.ended;
  expect(shim.events.at(-1)).toMatchObject({ topic: "/tasks/exit", id: "c", exitStatus: 255 });
  await expect(shim.create("d")).rejects.toEqual(refusedWith("unavailable"));
});

test("both versions of the task service have all calls", () => {
  const names = (index: number) => {
    const service = taskServices(new ShimBench().task)[index];
    return { name: service?.name, methods: [...(service?.methods.keys() ?? [])].sort() };
  };
  const methods = [
    "Checkpoint",
    "CloseIO",
    "Connect",
    "Create",
    "Delete",
    "Exec",
    "Kill",
    "Pause",
    "Pids",
    "ResizePty",
    "Resume",
    "Shutdown",
    "Start",
    "State",
    "Stats",
    "Update",
    "Wait",
  ];
  expect(names(0)).toEqual({ name: "containerd.task.v2.Task", methods });
  expect(names(1)).toEqual({ name: "containerd.task.v3.Task", methods });
});
