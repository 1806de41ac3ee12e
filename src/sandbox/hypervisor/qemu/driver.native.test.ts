/** The QEMU driver with a real QEMU and a kernel of a few bytes: a machine's life without a guest's. */
import { hasCode, hasErrno, KataError } from "../../../kata-error.ts";
import { CancelSource } from "../../../sys/cancellation.ts";
import { sleep, withDeadline } from "../../../sys/clock.ts";
import { loop } from "../../../sys/event-loop.ts";
import type { FdStream } from "../../../sys/fd-stream.ts";
import {
  chmod,
  exists,
  ftruncate,
  mkdirAll,
  O_CREAT,
  O_RDWR,
  open,
  readDirectory,
  readTextFile,
  removeTree,
  writeFile,
} from "../../../sys/files.ts";
import { getpid, kill, SIGKILL } from "../../../sys/process.ts";
import { connect } from "../../../sys/socket.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../../sys/testing/native-test.ts";
import { addressText } from "../../storage/guest-messages.ts";
import { writeTinyKernel } from "../../testing/tiny-kernel.ts";
import type { Logger } from "../../types.ts";
import { NO_OPTIONS } from "../machine-options.ts";
import type { MachineSpec, VirtualMachine } from "../types.ts";
import { qemu } from "./driver.ts";
import { type MonitorStream, QmpClient } from "./qmp-client.ts";

const PROGRAM = "/usr/bin/qemu-system-x86_64";
const CONSOLE_DEADLINE_MS = 10_000;

let directories = 0;

interface Place extends AsyncDisposable {
  readonly path: string;
  /** Console lines and warnings, as they were logged. */
  readonly lines: string[];
  readonly logger: Logger;
  show(): string;
  boot(changes?: Partial<MachineSpec>): Promise<VirtualMachine>;
}

/** A directory with a kernel, in which machines are booted; they end with it. */
function place(text: string, end: "halt" | "reset" = "halt"): Place {
  const path = `/tmp/kata-qemu-test.${getpid()}.${directories++}`;
  mkdirAll(path);
  writeTinyKernel(`${path}/kernel`, text, end);
  writeFile(`${path}/initrd`, "not looked at");
  const machines: VirtualMachine[] = [];
  const lines: string[] = [];
  const log = (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
    void lines.push(`${message} ${String(fields.line ?? fields.output ?? "")}`);
  const logger: Logger = { debug: log, info: log, warn: log, error: log };
  return {
    path,
    lines,
    logger,
    show: () => JSON.stringify(lines),
    async boot(changes = {}) {
      const machine = await qemu.boot({ ...spec(path), ...changes }, { clock: loop, logger });
      machines.push(machine);
      return machine;
    },
    async [Symbol.asyncDispose]() {
      for (const machine of machines) await machine.stop();
      removeTree(path);
    },
  };
}

function spec(path: string): MachineSpec {
  return {
    id: "test",
    program: PROGRAM,
    accelerator: "tcg",
    machineType: "q35",
    machineOptions: "",
    cpuFeatures: "",
    firmware: "",
    kernel: `${path}/kernel`,
    root: { kind: "initrd", path: `${path}/initrd` },
    kernelParameters: "",
    debug: false,
    vcpus: 1,
    maxVcpus: 1,
    memoryMib: 64,
    hugePages: false,
    preallocateMemory: false,
    reclaimMemory: false,
    hotPlugSlots: 2,
    entropySource: "/dev/urandom",
    devices: [],
    networkNamespace: undefined,
    runDirectory: path,
    cgroups: [],
  };
}

function monitorOf(stream: FdStream): MonitorStream {
  return {
    read: (into) => stream.read(into),
    write: (bytes) => stream.write(bytes),
    writeWithDescriptors: () => Promise.reject(new Error("not needed here")),
    close: () => stream.close(),
  };
}

async function eventually(what: () => string, condition: () => boolean): Promise<void> {
  const end = loop.now() + CONSOLE_DEADLINE_MS;
  while (!condition()) {
    if (loop.now() > end) throw new KataError("deadline-exceeded", { operation: "wait for", object: what() });
    await sleep(loop, 10);
  }
}

function exitOf(machine: VirtualMachine): Promise<string> {
  const what = { operation: "wait", object: "the machine's end" };
  return withDeadline(loop, CONSOLE_DEADLINE_MS, what, machine.exited).then(({ reason }) => reason);
}

test("a machine boots its kernel, whose console is logged, and stops when it is told to", async () => {
  const before = readDirectory("/proc/self/fd").length;
  {
    await using here = place("first line\r\n\x1b[1msecond\x07 line\n");
    const machine = await here.boot();
    assertEqual(machine.agentChannel.kind, exists("/dev/vhost-vsock") ? "vsock" : "stream");
    await eventually(here.show, () => here.lines.includes("guest console second? line"));
    assert(here.lines.includes("guest console first line"), "the first line is logged");
    await machine.stop();
    await machine.stop();
    assertEqual(await exitOf(machine), "QEMU exited with status 0: first line | second? line");
    assertEqual(exists(`/proc/${machine.pid}`), false);
    await assertThrows(
      () => machine.pause(),
      (error) => hasCode(error, "unavailable"),
      "unavailable",
    );
  }
  await sleep(loop, 20);
  // The event loop keeps its own descriptor.
  assert(readDirectory("/proc/self/fd").length <= before + 1, "all descriptors are closed");
});

test("pause() stops the guest and resume() lets it go on", async () => {
  await using here = place("x");
  const machine = await here.boot();
  await machine.pause();
  await machine.resume();
  await machine.stop();
});

test("a guest that resets its machine ends it, with its last words", async () => {
  await using here = place("Kernel panic - not syncing: no init found\n", "reset");
  const machine = await here.boot();
  assertEqual(await exitOf(machine), "QEMU exited with status 0: Kernel panic - not syncing: no init found");
});

test("kill -9 of QEMU is seen at once", async () => {
  await using here = place("alive\n");
  const machine = await here.boot();
  await eventually(here.show, () => here.lines.includes("guest console alive"));
  kill(machine.pid, SIGKILL);
  assertEqual(await exitOf(machine), "QEMU was killed by signal 9: alive");
});

test("a disk is plugged into a running machine and leaves no backend behind when that fails", async () => {
  await using here = place("x");
  {
    using disk = open(`${here.path}/disk`, O_RDWR | O_CREAT, 0o600);
    ftruncate(disk.fd, 1 << 20);
  }
  const machine = await here.boot();
  assertEqual(machine.capabilities.hotPlug, { disk: true, network: true });
  const disk = { kind: "disk", id: "disk0", path: `${here.path}/disk`, readOnly: true } as const;
  const pciPath = addressText(await machine.attach(disk));
  assert(/^[0-9a-f]{2}\/02$/.test(pciPath), `the bridge's first slot, not ${pciPath}`);
  await assertThrows(
    () => machine.attach(disk),
    (error) => hasCode(error, "already-exists"),
    "already-exists",
  );
  const other = await machine.attach({ ...disk, id: "disk1" });
  assertEqual(addressText(other), pciPath.replace(/2$/, "3"), "another slot is taken");
  await assertThrows(
    () => machine.attach({ ...disk, id: "disk2", path: `${here.path}/missing` }),
    (error) => hasErrno(error, "ENOENT"),
    "ENOENT",
  );
  assertEqual(addressText(await machine.attach({ ...disk, id: "disk2" })), pciPath.replace(/2$/, "4"));
});

test("a microvm boots without PCI", async () => {
  await using here = place("small\n");
  const machine = await here.boot({ machineType: "microvm" });
  assertEqual(machine.capabilities.hotPlug, { disk: false, network: false });
  await eventually(here.show, () => here.lines.includes("guest console small"));
});

test("a machine has what an operator asks for beside its size and devices", async () => {
  await using here = place("chatty\n");
  {
    using disk = open(`${here.path}/disk`, O_RDWR | O_CREAT, 0o600);
    ftruncate(disk.fd, 1 << 20);
  }
  const machine = await here.boot({
    hotPlugSlots: 0,
    machineType: "q35",
    options: {
      ...NO_OPTIONS,
      systemCallFilter: "on,obsolete=deny,spawn=deny",
      iommu: true,
      switchPorts: 1,
      extraMonitor: "qmp",
      memoryDump: { directory: here.path, paging: false },
    },
    rates: {
      disk: { bandwidth: 8_000_000, bandwidthBurst: 800_000, operations: 100, operationsBurst: 10 },
      network: { received: 0, sent: 0 },
    },
  });
  await eventually(here.show, () => here.lines.includes("guest console chatty"));
  const disk = { kind: "disk", id: "disk0", path: `${here.path}/disk`, readOnly: true } as const;
  await machine.attach(disk);
  // QEMU drives the second monitor as it does the first.
  const extra = await connect({ kind: "unix", path: `${here.path}/extra-monitor.sock` });
  const client = await QmpClient.connect(monitorOf(extra), loop);
  const limits = await client.execute("qom-get", { path: "/objects/disk0-limits", property: "x-bps-total" });
  assertEqual(limits, 1_000_000);
  const nodes = JSON.stringify(await client.execute("query-pci", {}));
  for (const id of ["switch0", "switchport0"]) assert(nodes.includes(`"qdev_id":"${id}"`), id);
  client.close();
  await machine.attach({ ...disk, id: "disk1" });
});

test("a disk's limits leave nothing behind when it cannot be plugged in", async () => {
  await using here = place("x");
  const rates = {
    disk: { bandwidth: 0, bandwidthBurst: 0, operations: 100, operationsBurst: 0 },
    network: { received: 0, sent: 0 },
  };
  const machine = await here.boot({ rates });
  const disk = { kind: "disk", id: "disk0", path: `${here.path}/disk`, readOnly: false } as const;
  await assertThrows(
    () => machine.attach(disk),
    (error) => hasErrno(error, "ENOENT"),
    "ENOENT",
  );
  {
    using file = open(`${here.path}/disk`, O_RDWR | O_CREAT, 0o600);
    ftruncate(file.fd, 1 << 20);
  }
  await machine.attach(disk);
});

test("a monitor that is not root gets the disks that root opens, and nothing that only root can read", async () => {
  await using here = place("nobody\n");
  {
    using disk = open(`${here.path}/disk`, O_RDWR | O_CREAT, 0o600);
    ftruncate(disk.fd, 1 << 20);
  }
  const user = { uid: 61_001, gid: 61_001, groups: [], directory: here.path };
  await assertThrows(
    () => here.boot({ user }),
    (error) => hasCode(error, "invalid-configuration"),
    "invalid-configuration",
  );
  for (const name of ["kernel", "initrd"]) chmod(`${here.path}/${name}`, 0o644);
  const machine = await here.boot({ user });
  const status = readTextFile(`/proc/${machine.pid}/status`);
  assert(/^Uid:\t61001\t61001\t61001\t61001$/m.test(status), status);
  assert(/^CapPrm:\t0+$/m.test(status), status);
  const disk = { kind: "disk", id: "disk0", path: `${here.path}/disk`, readOnly: false } as const;
  await machine.attach(disk);
  await machine.attach({ ...disk, id: "disk1", path: "/dev/null", readOnly: true }).then(
    () => assert(false, "a device that is no disk"),
    (error: unknown) => assert(error instanceof KataError, String(error)),
  );
});

test("a firmware with variables is started with a copy of them", async () => {
  await using here = place("x");
  for (const [name, bytes] of [
    ["code", 1 << 18],
    ["variables", 1 << 17],
  ] as const) {
    using file = open(`${here.path}/${name}`, O_RDWR | O_CREAT, 0o600);
    ftruncate(file.fd, bytes);
  }
  const options = { ...NO_OPTIONS, firmwareVolume: `${here.path}/variables` };
  const machine = await here.boot({ firmware: `${here.path}/code`, options });
  assertEqual(exists(`${here.path}/flash1.fd`), true);
  await machine.stop();
  await assertThrows(
    () =>
      here.boot({ firmware: `${here.path}/code`, options: { ...options, firmwareVolume: "/nonexistent" } }),
    (error) => hasCode(error, "invalid-configuration"),
    "invalid-configuration",
  );
});

const refused: readonly [
  what: string,
  changes: (path: string) => Partial<MachineSpec>,
  code: string,
  about: RegExp,
][] = [
  [
    "a missing program",
    () => ({ program: "/nonexistent/qemu" }),
    "invalid-configuration",
    /qemu.*path of \[hypervisor/,
  ],
  [
    "a missing kernel",
    () => ({ kernel: "/nonexistent/k" }),
    "invalid-configuration",
    /kernel.*\/nonexistent\/k/,
  ],
  [
    "a kernel that is none",
    (path) => ({ kernel: `${path}/initrd` }),
    "invalid-configuration",
    /is no Linux kernel/,
  ],
  [
    "a missing initrd",
    () => ({ root: { kind: "initrd", path: "/nonexistent/i" } }),
    "invalid-configuration",
    /initrd.*\/nonexistent\/i/,
  ],
  ["options that QEMU refuses", () => ({ machineOptions: "no-such=on" }), "hypervisor-error", /no-such/],
  [
    "a machine type that QEMU has not",
    () => ({ machineType: "toaster" }),
    "hypervisor-error",
    /unsupported machine type/,
  ],
];

for (const [what, changes, code, about] of refused) {
  test(`${what} is refused in one line and nothing is left`, async () => {
    await using here = place("x");
    const before = readDirectory("/proc/self/fd").length;
    const error = await assertThrows(
      () => here.boot(changes(here.path)),
      (thrown) => hasCode(thrown, code),
      code,
    );
    const { message } = error as KataError;
    assert(about.test(message) && !message.includes("\n"), `a line about ${about}, not ${message}`);
    await sleep(loop, 20);
    assert(readDirectory("/proc/self/fd").length <= before + 1, "all descriptors are closed");
  });
}

test("a start that is given up leaves nothing", async () => {
  await using here = place("x");
  const before = readDirectory("/proc/self/fd").length;
  const source = new CancelSource();
  loop.after(30, () => source.cancel());
  await assertThrows(
    () => qemu.boot(spec(here.path), { clock: loop, logger: here.logger, signal: source.signal }),
    (error) => hasCode(error, "cancelled"),
    "cancelled",
  );
  await sleep(loop, 20);
  assert(readDirectory("/proc/self/fd").length <= before + 1, "all descriptors are closed");
});

test("a machine with NUMA nodes on the host's, and one that can grow, are started", async () => {
  await using here = place("booted\n");
  const node = { hostNodes: [0], memoryMib: 64 };
  const numaNodes = [
    { ...node, firstVcpu: 0, lastVcpu: 0 },
    { ...node, firstVcpu: 1, lastVcpu: 1 },
  ];
  const nodes = await here.boot({ vcpus: 2, maxVcpus: 2, memoryMib: 128, numaNodes });
  await eventually(here.show, () => here.lines.some((line) => line.includes("booted")));
  assertEqual((await nodes.vcpuThreads()).length, 2);
  assertEqual(nodes.capabilities.resize, { vcpus: "fixed", memory: "fixed" });
  const growing = await here.boot({ maxVcpus: 2, memoryGrowth: { kind: "virtio-mem", maxMemoryMib: 1088 } });
  assertEqual(growing.size, { vcpus: 1, memoryMib: 64 });
  assertEqual(growing.capabilities.resize, { vcpus: "grows", memory: "grows and shrinks" });
});

runTests();
