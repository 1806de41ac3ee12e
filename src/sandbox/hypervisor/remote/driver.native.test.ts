/** The driver against a service of the protocol in the same process: what it asks for, and that no machine is ever forgotten. */
import { type HypervisorHandlers, hypervisorService } from "../../../../build/generated/remote.ts";
import { hasCode, KataError } from "../../../kata-error.ts";
import { serveConnection } from "../../../rpc/server.ts";
import { CancelSource } from "../../../sys/cancellation.ts";
import { sleep } from "../../../sys/clock.ts";
import { loop } from "../../../sys/event-loop.ts";
import { mkdirAll, readDirectory, removeTree, unlinkIfExists } from "../../../sys/files.ts";
import { getpid, ignoreSignal, SIGPIPE } from "../../../sys/process.ts";
import { accept, listen } from "../../../sys/socket.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../../sys/testing/native-test.ts";
import { TestLogger } from "../../testing/test-pod.ts";
import type { MachineSpec, VirtualMachine } from "../types.ts";
import { remote } from "./driver.ts";

const DIRECTORY = `/tmp/kata-remote-driver.${getpid()}`;
const SOCKET = `${DIRECTORY}/hypervisor.sock`;
const AGENT = `${DIRECTORY}/agent.sock`;

interface Served {
  /** The calls so far, in short. */
  readonly calls: string[];
  readonly boot: (signal?: CancelSource) => Promise<VirtualMachine>;
}

/** A service whose handlers are `handlers` over those of one that makes every machine. */
async function withService(
  handlers: Partial<HypervisorHandlers>,
  body: (served: Served) => Promise<void>,
  timeoutMs = 5000,
): Promise<void> {
  const calls: string[] = [];
  const noted =
    <Request, Response>(name: string, handler: (request: Request, context: never) => Promise<Response>) =>
    (request: Request, context: unknown) => {
      calls.push(`${name} ${JSON.stringify(request, (_key, value) => fromMap(value))}`);
      return handler(request, context as never);
    };
  const service = hypervisorService({
    version: noted("Version", handlers.version ?? (async () => ({ version: "7" }))),
    createVM: noted("CreateVM", handlers.createVM ?? (async () => ({ agentSocketPath: AGENT }))),
    startVM: noted("StartVM", handlers.startVM ?? (async () => ({}))),
    stopVM: noted("StopVM", handlers.stopVM ?? (async () => ({}))),
  });
  mkdirAll(DIRECTORY, 0o700);
  const socket = listen({ kind: "unix", path: SOCKET });
  const over = new CancelSource();
  const serving = (async () => {
    for (;;) {
      const stream = await accept(socket, over.signal);
      serveConnection(stream, [service]).catch(() => undefined);
    }
  })().catch(() => undefined);
  const annotations = new Map([["io.kubernetes.cri.sandbox-name", "web"]]);
  const spec = {
    id: "sandbox-1",
    vcpus: 2,
    memoryMib: 512,
    devices: [],
    networkNamespace: "/run/netns/web",
    remote: { service: { socket: SOCKET, timeoutMs }, annotations },
  } as unknown as MachineSpec;
  try {
    await body({
      calls,
      boot: (source) => remote.boot(spec, { clock: loop, logger: new TestLogger(), signal: source?.signal }),
    });
  } finally {
    over.cancel();
    await serving;
    socket.close();
    unlinkIfExists(SOCKET);
    removeTree(DIRECTORY);
  }
}

function fromMap(value: unknown): unknown {
  return value instanceof Map ? Object.fromEntries(value) : value;
}

const VERSION = 'Version {"version":"0.0.0"}';
const CREATE =
  'CreateVM {"id":"sandbox-1","annotations":{"io.kubernetes.cri.sandbox-name":"web"},"networkNamespacePath":"/run/netns/web"}';
const START = 'StartVM {"id":"sandbox-1"}';
const STOP = 'StopVM {"id":"sandbox-1"}';

function refusal(code: string, words: string): () => Promise<never> {
  return () => Promise.reject(new KataError(code, { operation: words, object: "sandbox-1" }));
}

test("a machine is described, started and stopped once, however often it is stopped", () =>
  withService({}, async ({ calls, boot }) => {
    const before = readDirectory("/proc/self/fd").length;
    const machine = await boot();
    assertEqual(machine.agentChannel, { kind: "socket", address: { kind: "unix", path: AGENT } });
    assertEqual(machine.size, { vcpus: 2, memoryMib: 512 });
    assertEqual(machine.pid, getpid());
    await Promise.all([machine.stop(), machine.stop()]);
    await machine.stop();
    assertEqual((await machine.exited).reason, "the remote hypervisor has stopped it");
    assertEqual(calls, [VERSION, CREATE, START, STOP]);
    await sleep(loop, 50);
    assertEqual(readDirectory("/proc/self/fd").length, before, "no connection is left");
  }));

test("a service without a version is one", () =>
  withService({ version: refusal("unimplemented", "version") }, async ({ boot }) => {
    await (await boot()).stop();
  }));

test("a machine whose start fails is stopped, and the service's words are told", () =>
  withService({ startVM: refusal("resource-exhausted", "no quota left") }, async ({ calls, boot }) => {
    await assertThrows(
      boot,
      (error) => hasCode(error, "resource-exhausted") && /no quota left/.test(error.message),
      "the service's error",
    );
    assertEqual(calls, [VERSION, CREATE, START, STOP]);
  }));

test("a machine that is not made in time is stopped", () =>
  withService(
    { startVM: () => new Promise(() => undefined) },
    async ({ calls, boot }) => {
      await assertThrows(
        boot,
        (error) => hasCode(error, "deadline-exceeded") && /remote_hypervisor_timeout/.test(error.message),
        "the deadline",
      );
      assertEqual(calls, [VERSION, CREATE, START, STOP]);
    },
    200,
  ));

test("a machine that nobody waits for any more is stopped", () =>
  withService({ startVM: () => new Promise(() => undefined) }, async ({ calls, boot }) => {
    const source = new CancelSource();
    const booting = boot(source);
    while (!calls.includes(START)) await sleep(loop, 5);
    source.cancel(new KataError("cancelled", { operation: "start", object: "pod" }));
    await assertThrows(
      () => booting,
      (error) => hasCode(error, "cancelled"),
      "the reason",
    );
    assertEqual(calls, [VERSION, CREATE, START, STOP]);
  }));

test("a machine that was refused belongs to somebody else, if to anybody", () =>
  withService({ createVM: refusal("already-exists", "create") }, async ({ calls, boot }) => {
    await assertThrows(boot, (error) => hasCode(error, "already-exists"), "the refusal");
    assertEqual(calls, [VERSION, CREATE]);
  }));

for (const [what, path] of [
  ["none", ""],
  ["a relative path", "agent.sock"],
  ["a path that no socket can have", `/${"x".repeat(108)}`],
] as const) {
  test(`a machine for whose agent the service names ${what} is stopped`, () =>
    withService({ createVM: async () => ({ agentSocketPath: path }) }, async ({ calls, boot }) => {
      await assertThrows(boot, (error) => hasCode(error, "malformed-message"), "the answer");
      assertEqual(calls, [VERSION, CREATE, STOP]);
    }));
}

test("an abstract name of the agent's socket is taken", () =>
  withService({ createVM: async () => ({ agentSocketPath: "@agent" }) }, async ({ boot }) => {
    const machine = await boot();
    assertEqual(machine.agentChannel, { kind: "socket", address: { kind: "abstract", name: "agent" } });
    await machine.stop();
  }));

test("a machine that the service does not know any more counts as stopped", () =>
  withService({ stopVM: refusal("unknown", "stopping VM: sandbox does not exist") }, async ({ boot }) => {
    const machine = await boot();
    await machine.stop();
    await machine.exited;
  }));

test("a stop that fails is told, and tried again by the next", () => {
  let fails = true;
  const stopVM = async () => {
    if (fails) throw new KataError("unavailable", { operation: "stop", object: "the cloud" });
    return {};
  };
  return withService({ stopVM }, async ({ calls, boot }) => {
    const machine = await boot();
    await assertThrows(
      () => machine.stop(),
      (error) => hasCode(error, "unavailable"),
      "the failure",
    );
    fails = false;
    await machine.stop();
    assertEqual(calls.slice(3), [STOP, STOP]);
  });
});

test("where no service listens, the key is named that says where", async () => {
  const annotations = new Map<string, string>();
  const service = { socket: `${DIRECTORY}/missing.sock`, timeoutMs: 1000 };
  const spec = { id: "x", devices: [], remote: { service, annotations } } as unknown as MachineSpec;
  await assertThrows(
    () => remote.boot(spec, { clock: loop, logger: new TestLogger() }),
    (error) => hasCode(error, "unavailable") && /remote_hypervisor_socket/.test(error.message),
    "the hint",
  );
});

test("what only a machine of this host can do is refused", () =>
  withService({}, async ({ boot }) => {
    const machine = await boot();
    for (const each of [
      () => machine.attach({ kind: "disk", id: "d", path: "/d", readOnly: true }),
      () => machine.pause(),
      () => machine.resize({ vcpus: 4, memoryMib: 512 }, 128),
      () => machine.save(0),
    ]) {
      await assertThrows(each, (error) => hasCode(error, "unsupported"), "the refusal");
    }
    assertEqual(await machine.vcpuThreads(), []);
    assert(!machine.capabilities.hotPlug.disk, "no disks");
    await machine.stop();
  }));

// The service answers calls that are given up.
ignoreSignal(SIGPIPE);
runTests();
