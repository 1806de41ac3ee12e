import { expect, test } from "vitest";
import { decodeMetrics } from "../../../build/generated/cgroups-v1.ts";
import { parseConfiguration } from "../../config/index.ts";
import { CancelSource } from "../../sys/cancellation.ts";
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
  await shim.pod.stopSandbox();

  expect(shim.events).toEqual([
    expect.objectContaining({ topic: "/tasks/create", containerId: "c", bundle: "/bundles/c", pid: 4711 }),
    { topic: "/tasks/start", containerId: "c", pid: 4711 },
    { topic: "/tasks/exit", containerId: "c", id: "c", pid: 4711, ...end },
    { topic: "/tasks/delete", containerId: "c", id: "", pid: 4711, ...end },
  ]);
  expect(shim.sandbox.asked).toEqual(["create c", "start c", "end c", "stop"]);
  expect(shim.streams).toEqual(["c/ open", "c/ start", "c/ close"]);
  expect(shim.claims).toEqual(new Set());
});

test("what comes with the end of a process goes to its streams before its end is told", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  shim.sandbox.lastOutput = { stdout: new Uint8Array(1) };
  const toldAt: number[] = [];
  shim.drained = async () => void toldAt.push(shim.events.length);
  shim.sandbox.exit("c", 0);
  await shim.task.wait(INIT, CALL);
  expect(shim.streams.slice(-1)).toEqual(["c/ finish"]);
  expect(shim.events.slice(toldAt[0]).map(({ topic }) => topic)).toEqual(["/tasks/exit"]);
});

test("the machine of a container that stands alone goes with its first process, not with its removal", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  shim.sandbox.exit("c", 3);
  await shim.task.wait(INIT, CALL);
  await shim.settle();
  expect(shim.sandbox.asked).toEqual(["create c", "start c", "end c", "stop"]);
  expect(await shim.task.state(INIT, CALL)).toMatchObject({ status: 3, exitStatus: 3 });
});

test("the machine of a pod stays with its first container's end, for the others", async () => {
  const shim = new ShimBench();
  await shim.run("c", { "io.kubernetes.cri.container-type": "sandbox" });
  shim.sandbox.exit("c", 0);
  await shim.task.wait(INIT, CALL);
  await shim.settle();
  expect(shim.sandbox.asked).toEqual(["create c", "start c"]);
  await shim.task.delete(INIT, CALL);
  expect(shim.sandbox.asked).toEqual(["create c", "start c", "end c", "stop"]);
});

test("the guest of a container that was killed is asked why before it goes", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  shim.sandbox.exit("c", 137);
  await shim.task.wait(INIT, CALL);
  await shim.settle();
  shim.sandbox.runOutOfMemory("c");
  await shim.task.delete(INIT, CALL);
  expect(shim.topics).toContain("/tasks/oom");
  expect(shim.sandbox.asked).toEqual(["create c", "start c", "remove c", "stop"]);
});

test("what is odd in the configuration is told in the log, and the container is created", async () => {
  const shim = new ShimBench();
  const configuration = parseConfiguration("[hypervisor.qemu]\nkernle = 1\n", "/c.toml");
  shim.configuration = configuration;
  await shim.create("c");
  expect(shim.warnings).toEqual([
    "/c.toml:2:1: unknown key in [hypervisor.qemu]: kernle; did you mean kernel?",
  ]);
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

test("a terminal has the size that was told while its process was being started", async () => {
  const shim = new ShimBench();
  await shim.create("c", {}, CALL, {}, "/fifo/out", true);
  let open: () => void = () => undefined;
  shim.sandbox.startGate = new Promise((resolve) => {
    open = resolve;
  });
  const starting = shim.task.start({ id: "c", execId: "" }, CALL);
  await shim.settle();
  await shim.task.resizePty({ id: "c", execId: "", width: 77, height: 33 }, CALL);
  expect(shim.sandbox.asked).not.toContain("resize c/ 33x77");
  open();
  await starting;
  expect(shim.sandbox.asked).toContain("resize c/ 33x77");
});

test("what is asked of a container while it starts happens after its start", async () => {
  const shim = new ShimBench();
  await shim.create("c");
  let open: () => void = () => undefined;
  shim.sandbox.startGate = new Promise((resolve) => {
    open = resolve;
  });
  const starting = shim.task.start(INIT, CALL);
  await expect(shim.task.start(INIT, CALL)).rejects.toEqual(refusedWith("failed-precondition"));
  const killing = shim.task.kill({ ...INIT, signal: 9, all: true }, CALL);
  const deleting = shim.task.delete(INIT, CALL);
  await shim.settle();
  expect(shim.sandbox.asked).toEqual(["create c"]);
  open();
  await starting;
  await killing;
  await expect(deleting).rejects.toEqual(refusedWith("failed-precondition"));
  expect(await shim.task.wait(INIT, CALL)).toMatchObject({ exitStatus: 137 });
  expect(shim.topics).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit"]);
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

test("a Create that is repeated before the start answers as the first one, and is told once", async () => {
  const shim = new ShimBench();
  expect(await shim.create("c")).toEqual({ pid: 4711 });
  expect(await shim.create("c")).toEqual({ pid: 4711 });
  expect(shim.topics).toEqual(["/tasks/create"]);
  expect(shim.sandbox.asked).toEqual(["create c"]);
  await expect(shim.create("c", {}, CALL, {}, "/fifo/other")).rejects.toEqual(refusedWith("already-exists"));
  await shim.task.start(INIT, CALL);
  await expect(shim.create("c")).rejects.toEqual(refusedWith("already-exists"));
});

test("a Create that is repeated while the first one is given up waits until that is undone", async () => {
  const shim = new ShimBench();
  await shim.run("sandbox");
  let open: () => void = () => undefined;
  shim.sandbox.createGate = new Promise((resolve) => {
    open = resolve;
  });
  const member = podAnnotations("container", "sandbox");
  const connection = new CancelSource();
  const first = shim.create("c", member, { ...CALL, signal: connection.signal });
  await expect(shim.create("c", member)).rejects.toEqual(refusedWith("already-exists"));
  connection.cancel();
  const second = shim.create("c", member);
  await shim.settle();
  expect(shim.sandbox.asked.slice(2)).toEqual([]);
  open();
  await expect(first).rejects.toEqual(refusedWith("cancelled"));
  expect(await second).toEqual({ pid: 4711 });
  expect(shim.sandbox.asked.slice(2)).toEqual(["create c", "remove c", "create c"]);
  expect(shim.topics.slice(2)).toEqual(["/tasks/create"]);
});

test("a shim whose only Create nobody waits for any more undoes it and ends", async () => {
  const shim = new ShimBench();
  shim.boot = ({ signal }) =>
    new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  const connection = new CancelSource();
  const creating = shim.create("c", {}, { ...CALL, signal: connection.signal });
  connection.cancel();
  await expect(creating).rejects.toEqual(refusedWith("cancelled"));
  await shim.pod.ended;
  expect(shim.claims).toEqual(new Set());
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

test("pids are the guest's, with the names of execs", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  shim.sandbox.guestProcesses = [
    { pid: 80, execId: "" },
    { pid: 92, execId: "e" },
    { pid: 95, execId: "" },
  ];
  const { processes } = await shim.task.pids({ id: "c" }, CALL);
  expect(processes).toEqual([
    { pid: 80 },
    { pid: 92, info: { typeUrl: "containerd.runc.v1.ProcessDetails", value: Uint8Array.of(10, 1, 101) } },
    { pid: 95 },
  ]);
});

test("pids of a guest that does not tell are the machine's process for the container and each exec that runs", async () => {
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
  shim.clock.advance(1000);
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

test("shutdown is answered when the machine is gone, and does not wait for what the host gets back later", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  let open: () => void = () => undefined;
  shim.sandbox.giveBackGate = new Promise((resolve) => {
    open = resolve;
  });
  await shim.task.shutdown({ id: "c", now: true }, CALL);
  await shim.pod.ended;
  // Who cleans up after a crash is still told that there is something.
  expect(shim.claims).toEqual(new Set(["/bundles/c"]));
  open();
  await shim.pod.stopSandbox();
  expect(shim.claims).toEqual(new Set());
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
