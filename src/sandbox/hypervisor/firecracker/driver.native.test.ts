/**
 * The driver against the programs that stand in for Firecracker and its jailer, behind which a real guest boots. Needs our guest
 * (`npm run image`) and the stand-ins (build/test/stand-in-firecracker, …-jailer).
 */
import { hasCode } from "../../../kata-error.ts";
import { CancelSource } from "../../../sys/cancellation.ts";
import { sleep } from "../../../sys/clock.ts";
import { loop } from "../../../sys/event-loop.ts";
import {
  exists,
  ftruncate,
  mkdirAll,
  O_CREAT,
  O_RDWR,
  open,
  readDirectory,
  readFile,
  readTextFile,
  removeTree,
  writeAll,
} from "../../../sys/files.ts";
import { MS_PRIVATE, MS_REC, mount } from "../../../sys/mount.ts";
import { unshare } from "../../../sys/namespaces.ts";
import { deleteLink, linkByName } from "../../../sys/netlink/links.ts";
import { CLONE_NEWNET, CLONE_NEWNS, getcwd, getpid, kill, SIGKILL } from "../../../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests } from "../../../sys/testing/native-test.ts";
import { utf8Encode } from "../../../sys/utf8.ts";
import type { AgentClient } from "../../agent-client.ts";
import { connectAgent } from "../../agent-connection.ts";
import { NetworkNamespace } from "../../network/network-namespace.ts";
import { makeLastingTap } from "../../network/tap.ts";
import { makeFilesystem } from "../../storage/filesystem-image.ts";
import { diskOfStorage } from "../../storage/guest-messages.ts";
import { testMachineSpec } from "../../testing/test-machine.ts";
import { TestLogger, vmTest } from "../../testing/test-pod.ts";
import type { AttachedDevice, MachineSpec, VirtualMachine } from "../types.ts";
import { firecracker } from "./driver.ts";

unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);

const DIAL_TIMEOUT_MS = 60_000;
const STAND_IN = `${getcwd()}/build/test/stand-in-firecracker`;
const JAILER = `${STAND_IN}-jailer`;
const NAMESPACE = "/proc/self/ns/net";
const CARD = {
  kind: "network",
  id: "network0",
  macAddress: "02:00:00:00:00:07",
  backend: { kind: "tap", queues: [], name: "tap0_kata" },
} as const;

/** As the agent is told of it. */
const CARD_IN_GUEST = { hwAddr: CARD.macAddress, IPAddresses: [], mtu: 1500n, rawFlags: 0 };

function machineSpec(changes: Partial<MachineSpec> = {}): MachineSpec {
  return testMachineSpec({
    program: STAND_IN,
    // Of the program that becomes the monitor: ours.
    networkNamespace: NAMESPACE,
    runDirectory: `/tmp/kata-fc-test.${getpid()}`,
    ...changes,
  });
}

async function withDirectory(
  changes: Partial<MachineSpec>,
  body: (spec: MachineSpec) => Promise<void>,
): Promise<void> {
  const spec = machineSpec(changes);
  mkdirAll(spec.runDirectory, 0o700);
  try {
    await body(spec);
    const left = readDirectory(spec.runDirectory).map(({ name }) => name);
    assertEqual(
      left.filter((name) => !name.startsWith("test-")),
      [],
      "nothing is left",
    );
  } finally {
    removeTree(spec.runDirectory);
  }
}

/** A disk that has `text` in its first sector. */
function makeDisk(path: string, text: string, bytes: number): void {
  using file = open(path, O_RDWR | O_CREAT, 0o600);
  ftruncate(file.fd, bytes);
  writeAll(file.fd, utf8Encode(text));
}

function boot(spec: MachineSpec, logger = new TestLogger()): Promise<VirtualMachine> {
  return firecracker.boot(spec, { clock: loop, logger });
}

/** Has the guest mount the ext4 of a disk. */
async function mountInGuest(calls: AgentClient, sandboxId: string, address: AttachedDevice): Promise<void> {
  const mountPoint = "/run/kata-containers/sandbox/storage/x";
  const storage = { ...diskOfStorage(address), fstype: "ext4", options: [], mountPoint };
  const pod = { hostname: "box", dns: [], sandboxPidns: false, kernelModules: [] };
  await calls.createSandbox({ ...pod, sandboxId, storages: [storage] });
}

/** The whole life of a machine, with the guest as the witness. */
async function live(spec: MachineSpec): Promise<void> {
  const mounts = readTextFile("/proc/self/mountinfo");
  const namespace = NetworkNamespace.open(NAMESPACE);
  makeLastingTap(namespace, "tap0_kata");
  // The loop has a descriptor of its own from its first wait on.
  await sleep(loop, 1);
  const before = readDirectory("/proc/self/fd").length;
  const machine = await boot({ ...spec, devices: [CARD] });
  try {
    assertEqual(machine.capabilities.hotPlug, { disk: true, network: false });
    const agent = await connectAgent(machine.agentChannel, DIAL_TIMEOUT_MS, new CancelSource().signal);
    const { calls } = agent;
    const eth7 = { ...CARD_IN_GUEST, device: "eth7", name: "eth7" };
    await calls.updateInterface({ interface: eth7 });

    const [ext4, small] = [`${spec.runDirectory}/test-ext4`, `${spec.runDirectory}/test-small`];
    makeDisk(ext4, "", 8 << 20);
    makeDisk(small, "read me", 4096);
    await makeFilesystem(ext4, "ext4");
    const disk = { kind: "disk", id: "disk0", path: ext4, readOnly: false } as const;
    const first = await machine.attach(disk);
    assertEqual(first, { node: "/dev/vda", bytes: 8n << 20n });
    await assertThrows(
      () => machine.attach(disk),
      (error) => hasCode(error, "already-exists"),
      "already-exists",
    );
    const second = await machine.attach({ kind: "disk", id: "disk1", path: small, readOnly: true });
    assertEqual(second, { node: "/dev/vdi", bytes: 4096n }, "the first of those that cannot be written to");

    await mountInGuest(calls, spec.id, first);
    assert(readFile(ext4, 16 << 20).length === 8 << 20, "the disk is where it was");
    await assertThrows(
      () => machine.attach(CARD),
      (error) => hasCode(error, "unsupported"),
      "no cards",
    );
    await machine.detach("disk1");
    await assertThrows(
      () => machine.detach("disk1"),
      (error) => hasCode(error, "not-found"),
      "not-found",
    );
    // Its drive is free again.
    assertEqual(await machine.attach({ kind: "disk", id: "disk2", path: small, readOnly: true }), second);

    await machine.pause();
    await machine.resume();
    await calls.updateInterface({ interface: eth7 });
    agent.close();
  } finally {
    await machine.stop();
    deleteLink(namespace.netlink, linkByName(namespace.netlink, "tap0_kata").index, "tap0_kata");
    namespace.close();
  }
  // The machine behind the stand-in ends after it, with the other end of the console.
  const giveUp = loop.now() + 2000;
  const opened = () => readDirectory("/proc/self/fd").length;
  while (opened() > before - 2 && loop.now() < giveUp) await sleep(loop, 20);
  assertEqual(opened(), before - 2, "descriptors");
  assertEqual(readTextFile("/proc/self/mountinfo"), mounts, "the host's mounts");
}

vmTest("a guest boots, answers over the hybrid vsock, and disks come and go behind its drives", () =>
  withDirectory({}, live),
);

vmTest("it does the same in the jailer's jail", () => withDirectory({ jailer: JAILER }, live));

vmTest("a monitor that is killed is told, and leaves nothing", () =>
  withDirectory({ jailer: JAILER }, async (spec) => {
    const machine = await boot(spec);
    kill(machine.pid, SIGKILL);
    const { reason } = await machine.exited;
    assert(/^Firecracker was killed by signal 9/.test(reason), reason);
    await assertThrows(
      () => machine.pause(),
      (error) => hasCode(error, "unavailable"),
      "unavailable",
    );
    await machine.stop();
  }),
);

vmTest("in debug mode its log and its last metrics are in ours, and its filters can be switched off", () =>
  withDirectory({ jailer: JAILER, debug: true, withoutSeccomp: true }, async (spec) => {
    const logger = new TestLogger();
    const machine = await boot(spec, logger);
    assert(readTextFile(`/proc/${machine.pid}/cmdline`).includes("--no-seccomp"), "its arguments");
    await machine.stop();
    const lines = logger.of("debug").join("\n");
    assert(lines.includes('"line":"[stand-in:WARN] the microVM has started"'), lines);
    assert(/Firecracker's metrics \{"utc_timestamp_ms":\d+/.test(lines), lines);
  }),
);

vmTest("a machine that was saved goes on in other jails, each with its own memory and disks", () =>
  withDirectory({ jailer: JAILER }, async (spec) => {
    const namespace = NetworkNamespace.open(NAMESPACE);
    makeLastingTap(namespace, "tap0_kata");
    const [state, memory] = ["state", "memory"].map((name) =>
      open(`${spec.runDirectory}/test-${name}`, O_RDWR | O_CREAT, 0o600),
    );
    if (state === undefined || memory === undefined) throw new Error("no files");
    ftruncate(memory.fd, spec.memoryMib << 20);
    const found = await firecracker.fingerprint({ ...spec, devices: [CARD] });
    assert(found.kind === "fingerprint", "it can be saved");
    assertEqual(
      await firecracker.fingerprint({ ...spec, id: "another", runDirectory: "/x", devices: [CARD] }),
      found,
    );
    assertEqual((await firecracker.fingerprint({ ...spec, jailer: "" })).kind, "unsupported");
    const context = { clock: loop, logger: new TestLogger() };
    const origin = { kind: "template", memory: memory.fd } as const;
    const template = await firecracker.boot({ ...spec, devices: [CARD] }, context, origin);
    {
      const agent = await connectAgent(template.agentChannel, DIAL_TIMEOUT_MS, new CancelSource().signal);
      const eth7 = { ...CARD_IN_GUEST, name: "eth7", device: "eth7" };
      await agent.calls.updateInterface({ interface: eth7 });
      agent.close();
    }
    assertEqual(template.capabilities.template, true);
    await template.save(state.fd);
    await template.exited;
    const before = readFile(`${spec.runDirectory}/test-memory`, spec.memoryMib << 20).subarray(0, 1 << 20);

    for (const name of ["test-one", "test-two"]) {
      const runDirectory = `${spec.runDirectory}/${name}`;
      mkdirAll(runDirectory, 0o700);
      const from = {
        kind: "saved",
        memory: memory.fd,
        state: state.fd,
        memoryReady: Promise.resolve(),
      } as const;
      const clone = await firecracker.boot({ ...spec, runDirectory, devices: [CARD] }, context, from);
      try {
        const agent = await connectAgent(clone.agentChannel, DIAL_TIMEOUT_MS, new CancelSource().signal);
        // It has what the template was told.
        await agent.calls.updateInterface({ interface: { ...CARD_IN_GUEST, name: "eth8", device: "eth7" } });
        const disk = `${runDirectory}/test-disk`;
        makeDisk(disk, "", 8 << 20);
        await makeFilesystem(disk, "ext4");
        const address = await clone.attach({ kind: "disk", id: "disk0", path: disk, readOnly: false });
        await mountInGuest(agent.calls, spec.id, address);
        agent.close();
      } finally {
        await clone.stop();
      }
      assertEqual(
        readDirectory(runDirectory).map(({ name: left }) => left),
        ["test-disk"],
        "nothing is left",
      );
    }
    const after = readFile(`${spec.runDirectory}/test-memory`, spec.memoryMib << 20).subarray(0, 1 << 20);
    assertEqual(after, before, "the template's memory");
    for (const file of [state, memory]) file.close();
    deleteLink(namespace.netlink, linkByName(namespace.netlink, "tap0_kata").index, "tap0_kata");
    namespace.close();
  }),
);

vmTest("what the monitor refuses is told in its words, and nothing is left running", () =>
  withDirectory({}, async (spec) => {
    await assertThrows(
      () => boot({ ...spec, memoryMib: 257, hugePages: true }),
      (error) =>
        hasCode(error, "hypervisor-error") && String(error).includes("The memory size (MiB) is invalid."),
      "the monitor's refusal",
    );
  }),
);

vmTest("a jailer that is none names the key to set, and so does a program that it does not take", () =>
  withDirectory({}, async (spec) => {
    await assertThrows(
      () => boot({ ...spec, jailer: "/nonexistent/jailer" }),
      (error) =>
        hasCode(error, "invalid-configuration") &&
        String(error).includes("jailer_path of [hypervisor.firecracker]"),
      "invalid-configuration",
    );
    await assertThrows(
      () => boot({ ...spec, program: "/usr/bin/vmm", jailer: JAILER }),
      (error) => hasCode(error, "invalid-configuration") && String(error).includes("firecracker in its name"),
      "invalid-configuration",
    );
    assert(!exists(`${spec.runDirectory}/jailer`), "no jail");
  }),
);

runTests();
