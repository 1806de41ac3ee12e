/**
 * A sandbox with a real virtual machine and our guest (`npm run image`): what containers can do in it.
 *
 * The tests share one machine, since each boot takes seconds under emulation; the first opens it, the last stops it.
 */
import { hasCode } from "../kata-error.ts";
import type { Spec } from "../oci/types.ts";
import { sleep, withDeadline } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { exists, mkdirAll, readTextFile, writeFile } from "../sys/files.ts";
import { uname } from "../sys/host.ts";
import { assert, assertEqual, assertThrows, runTests } from "../sys/testing/native-test.ts";
import { utf8Decode, utf8Encode } from "../sys/utf8.ts";
import { openSandbox } from "./open-sandbox.ts";
import {
  expectNoTraces,
  readAll,
  TestLogger,
  type TestPlace,
  testConfiguration,
  testId,
  testPlace,
  testSpec,
  vmTest,
} from "./testing/test-pod.ts";
import type { RootfsMount, Sandbox } from "./types.ts";

const SIGTERM = 15;
const SIGKILL = 9;

const sandboxId = testId();
const logger = new TestLogger();
let opened: { readonly sandbox: Sandbox; readonly place: TestPlace } | undefined;

async function pod(): Promise<{ readonly sandbox: Sandbox; readonly place: TestPlace }> {
  if (opened !== undefined) return opened;
  const place = testPlace();
  const spec = testSpec(place.rootfs, ["true"]);
  const configuration = testConfiguration();
  const sandbox = await openSandbox({ id: sandboxId, configuration, spec, bundle: place.path, logger });
  opened = { sandbox, place };
  return opened;
}

interface Running extends AsyncDisposable {
  readonly id: string;
  readonly sandbox: Sandbox;
  wait(): Promise<number>;
  output(): Promise<string>;
  errors(): Promise<string>;
}

interface RunOptions {
  /** Changes the specification. */
  readonly change?: (spec: Spec) => Spec;
  readonly rootfs?: readonly RootfsMount[];
}

/** Creates and starts a container; it is removed at the end of the scope. */
async function run(
  args: readonly string[],
  { change = (spec) => spec, rootfs = [] }: RunOptions = {},
): Promise<Running> {
  const { sandbox, place } = await pod();
  const id = testId();
  const spec = change(testSpec(place.rootfs, args));
  await sandbox.createContainer({ id, bundle: place.path, spec, rootfs });
  const remove = async () => {
    const state = sandbox.wait({ containerId: id, execId: "" });
    state.catch(() => undefined);
    await sandbox.signal({ containerId: id, execId: "" }, SIGKILL, true).catch(() => undefined);
    await sandbox.removeContainer(id);
  };
  try {
    await sandbox.startContainer(id);
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    id,
    sandbox,
    wait: async () => (await sandbox.wait({ containerId: id, execId: "" })).status,
    output: async () => utf8Decode(await readAll(sandbox, id)),
    errors: async () => utf8Decode(await readAll(sandbox, id, "", "stderr")),
    [Symbol.asyncDispose]: remove,
  };
}

/** Output and status of a container that ends by itself. */
async function result(
  args: readonly string[],
  options: RunOptions = {},
): Promise<readonly [string, string, number]> {
  await using container = await run(args, options);
  return await Promise.all([container.output(), container.errors(), container.wait()]);
}

vmTest("a container has another kernel, its two streams and its exit status", async () => {
  const [output, errors, status] = await result([
    "sh",
    "-c",
    "uname -r; hostname; echo to stderr >&2; exit 7",
  ]);
  const [release, hostname] = output.split("\n");
  assertEqual([hostname, errors, status], ["box", "to stderr\n", 7]);
  assert(release !== uname().release, `the guest's kernel is another than ${release}`);
  if (!logger.lines.some((line) => line.includes("TCG"))) return;
  assertEqual(
    logger.of("warn").filter((line) => line.includes("no security boundary")).length,
    1,
    "warnings",
  );
});

vmTest("a megabyte through stdin comes out of stdout as it was", async () => {
  await using container = await run(["cat"]);
  const bytes = new Uint8Array(1 << 20);
  for (let at = 0; at < bytes.length; at += 4096) bytes.set([at >> 12, at >> 20, 0, 10, 13, 255], at);
  const address = { containerId: container.id, execId: "" };
  const reading = readAll(container.sandbox, container.id);
  await container.sandbox.writeStdin(address, bytes);
  await container.sandbox.closeStdin(address);
  const got = await reading;
  assertEqual(got.length, bytes.length);
  assert(
    got.every((byte, index) => byte === bytes[index]),
    "every byte is as it was",
  );
  assertEqual(await container.wait(), 0);
});

vmTest("exec() runs a process in the container with a status of its own", async () => {
  await using container = await run(["sleep", "100"]);
  const { sandbox, id } = container;
  const process = testSpec("", ["sh", "-c", "kill -0 1 && echo $WHO; cat; exit 42"]).process;
  assert(process !== undefined, "the specification has a process");
  const execId = "second";
  await sandbox.exec({ containerId: id, execId, process: { ...process, env: ["PATH=/bin", "WHO=me"] } });
  await sandbox.writeStdin({ containerId: id, execId }, utf8Encode("typed\n"));
  await sandbox.closeStdin({ containerId: id, execId });
  assertEqual(utf8Decode(await readAll(sandbox, id, execId)), "me\ntyped\n");
  assertEqual((await sandbox.wait({ containerId: id, execId })).status, 42);
});

vmTest("a signal ends a container with 128 and its number", async () => {
  await using container = await run([
    "sh",
    "-c",
    "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.1; done",
  ]);
  const address = { containerId: container.id, execId: "" };
  const first = await container.sandbox.readOutput(address, "stdout", 100);
  assertEqual(utf8Decode(first), "ready\n");
  await container.sandbox.signal(address, SIGTERM, false);
  assertEqual([await container.output(), await container.wait()], ["caught\n", 3]);
  await using other = await run(["sleep", "100"]);
  await other.sandbox.signal({ containerId: other.id, execId: "" }, SIGKILL, true);
  assertEqual(await other.wait(), 137);
});

vmTest("a terminal has the size that it was given, and one stream", async () => {
  const terminal = (spec: Spec): Spec => ({
    ...spec,
    process: {
      ...spec.process,
      args: ["sh"],
      cwd: "/",
      user: { uid: 0, gid: 0 },
      env: ["PATH=/bin"],
      terminal: true,
    },
  });
  await using container = await run(["sh"], { change: terminal });
  const address = { containerId: container.id, execId: "" };
  await container.sandbox.resizeTerminal(address, { rows: 33, columns: 99 });
  await container.sandbox.writeStdin(address, utf8Encode("stty size; exit 5\n"));
  const output = await container.output();
  assert(output.includes("33 99\r\n"), `the size is in ${JSON.stringify(output)}`);
  assertEqual(await container.wait(), 5);
});

vmTest("a paused container does nothing until it is resumed", async () => {
  await using container = await run(["sh", "-c", "while :; do echo x; sleep 0.05; done"]);
  const { sandbox, id } = container;
  const address = { containerId: id, execId: "" };
  await sandbox.readOutput(address, "stdout", 2);
  await sandbox.pause(id);
  // What was written before is still to be read; then there is silence.
  let silent = false;
  let next = sandbox.readOutput(address, "stdout", 1000);
  for (let tries = 0; tries < 20 && !silent; tries++) {
    const what = await Promise.race([next.then(() => "output"), sleep(loop, 300).then(() => "silence")]);
    if (what === "silence") silent = true;
    else next = sandbox.readOutput(address, "stdout", 1000);
  }
  assert(silent, "a paused container is silent");
  await sandbox.resume(id);
  const what = { operation: "wait", object: "output after resume" };
  assertEqual((await withDeadline(loop, 5000, what, next)).length > 0, true);
});

vmTest("statistics count a container's processes and memory, and a limit holds", async () => {
  const LIMIT = 32 << 20;
  const limited = (spec: Spec): Spec => ({
    ...spec,
    linux: { ...spec.linux, resources: { memory: { limit: LIMIT }, pids: { limit: 20 } } },
  });
  await using container = await run(["sh", "-c", "echo ready; sleep 100 & wait"], { change: limited });
  await container.sandbox.readOutput({ containerId: container.id, execId: "" }, "stdout", 10);
  const statistics = await container.sandbox.stats(container.id);
  assertEqual([statistics.pids.current, statistics.pids.limit, statistics.memory.limit], [2, 20, LIMIT]);
  assert(statistics.memory.usage > 0 && statistics.memory.usage <= LIMIT, "memory is in use");
  assert(statistics.cpu.total > 0, "time was used");
  await container.sandbox.update(container.id, { memory: { limit: 2 * LIMIT } });
  assertEqual((await container.sandbox.stats(container.id)).memory.limit, 2 * LIMIT);
});

vmTest("a container that takes more memory than it may is killed, and that is told", async () => {
  const { sandbox } = await pod();
  const limited = (spec: Spec): Spec => ({
    ...spec,
    linux: { ...spec.linux, resources: { memory: { limit: 16 << 20, swap: 16 << 20 } } },
  });
  const event = sandbox.nextOutOfMemory();
  await using container = await run(["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"], {
    change: limited,
  });
  assertEqual(await container.wait(), 137);
  const what = { operation: "wait", object: "out-of-memory event" };
  assertEqual(await withDeadline(loop, 5000, what, event), container.id);
});

vmTest("bind mounts show the host's files, read-write and read-only", async () => {
  const { place } = await pod();
  const [shared, kept] = [`${place.path}/shared`, `${place.path}/kept`];
  for (const directory of [shared, kept]) mkdirAll(directory);
  writeFile(`${shared}/in`, "from the host\n", 0o644);
  writeFile(`${kept}/in`, "kept\n", 0o644);
  writeFile(`${place.path}/file`, "one file\n", 0o644);
  const mounted = (spec: Spec): Spec => ({
    ...spec,
    mounts: [
      ...(spec.mounts ?? []),
      { destination: "/data", type: "bind", source: shared, options: ["rbind", "rw"] },
      { destination: "/kept", type: "bind", source: kept, options: ["rbind", "ro"] },
      { destination: "/etc/file", type: "bind", source: `${place.path}/file`, options: ["bind", "ro"] },
    ],
  });
  const script =
    "cat /data/in /kept/in /etc/file; echo back > /data/out; touch /kept/new || echo refused; touch /etc/file || echo refused";
  const [output, , status] = await result(["sh", "-c", `(${script}) 2>/dev/null`], { change: mounted });
  assertEqual([output, status], ["from the host\nkept\none file\nrefused\nrefused\n", 0]);
  assertEqual(readTextFile(`${shared}/out`), "back\n");
  assertEqual(exists(`${kept}/new`), false);
});

vmTest(
  "the root filesystem is what the mounts of the request make, and changes go into its upper layer",
  async () => {
    const { place } = await pod();
    const [upper, work] = [`${place.path}/upper`, `${place.path}/work`];
    for (const directory of [upper, work]) mkdirAll(directory);
    const overlay: RootfsMount = {
      type: "overlay",
      source: "overlay",
      target: "",
      options: [`lowerdir=${place.rootfs}`, `upperdir=${upper}`, `workdir=${work}`],
    };
    const [, errors, status] = await result(["sh", "-c", "echo new > /tmp/made"], { rootfs: [overlay] });
    assertEqual([errors, status], ["", 0]);
    assertEqual(readTextFile(`${upper}/tmp/made`), "new\n");
    assertEqual(exists(`${place.rootfs}/tmp/made`), false);
  },
);

vmTest("a container that cannot be created says why and leaves the sandbox as it was", async () => {
  const { sandbox, place } = await pod();
  const id = testId();
  const missing = testSpec(place.rootfs, ["true"], {
    mounts: [{ destination: "/data", type: "bind", source: "/nonexistent/data", options: ["rbind"] }],
  });
  await assertThrows(
    () => sandbox.createContainer({ id, bundle: place.path, spec: missing, rootfs: [] }),
    (error) => hasCode(error, "not-found") && error.message.includes("/nonexistent/data"),
    "not-found with the source",
  );
  const noRoot = testSpec("/nonexistent/rootfs", ["true"]);
  await assertThrows(
    () => sandbox.createContainer({ id, bundle: place.path, spec: noRoot, rootfs: [] }),
    (error) => hasCode(error, "not-found") && error.message.includes("/nonexistent/rootfs"),
    "not-found with the root",
  );
  const program = testSpec(place.rootfs, ["/no/such/program"]);
  await assertThrows(
    async () => {
      await sandbox.createContainer({ id, bundle: place.path, spec: program, rootfs: [] });
      await sandbox.startContainer(id);
    },
    (error) => error instanceof Error && error.message.includes("/no/such/program"),
    "an error with the program",
  );
  await sandbox.removeContainer(id);
  assertEqual((await result(["echo", "fine"]))[0], "fine\n");
});

vmTest("after stop() the host is clean and everything is refused", async () => {
  const { sandbox, place } = await pod();
  await Promise.all([sandbox.stop(), sandbox.stop()]);
  assertEqual(await sandbox.exited, { expected: true, reason: "it was stopped" });
  await expectNoTraces(sandboxId);
  await assertThrows(
    () => sandbox.stats("any"),
    (error) => hasCode(error, "unavailable"),
    "unavailable",
  );
  place[Symbol.dispose]();
});

runTests();
