/**
 * The driver against the program that stands in for Cloud Hypervisor, behind which a real guest boots. Needs our guest
 * (`npm run image`) and the stand-in (build/test/stand-in-cloud-hypervisor).
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
  removeTree,
  stat,
} from "../../../sys/files.ts";
import { MS_PRIVATE, MS_REC, mount } from "../../../sys/mount.ts";
import { unshare } from "../../../sys/namespaces.ts";
import { CLONE_NEWNET, CLONE_NEWNS, getcwd, getpid, kill, SIGKILL } from "../../../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests } from "../../../sys/testing/native-test.ts";
import { connectAgent } from "../../agent-connection.ts";
import { NetworkNamespace } from "../../network/network-namespace.ts";
import { makeTap } from "../../network/tap.ts";
import { sandboxPaths } from "../../sandbox-paths.ts";
import { addressText } from "../../storage/guest-messages.ts";
import { type LoopDevice, loopDevice, makeSparseFile } from "../../testing/host-tools.ts";
import { testMachineSpec } from "../../testing/test-machine.ts";
import { TestLogger, testConfiguration, testId, testPlace, vmTest } from "../../testing/test-pod.ts";
import { NO_OPTIONS } from "../machine-options.ts";
import { takeMonitorUser } from "../monitor-user.ts";
import type { MachineSpec, VirtualMachine } from "../types.ts";
import { cloudHypervisor } from "./driver.ts";

unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);

const DIAL_TIMEOUT_MS = 60_000;
const STAND_IN = `${getcwd()}/build/test/stand-in-cloud-hypervisor`;

function machineSpec(changes: Partial<MachineSpec> = {}): MachineSpec {
  const { default_memory: memoryMib } = testConfiguration().hypervisor;
  return testMachineSpec({
    program: STAND_IN,
    maxVcpus: 2,
    memoryGrowth: { kind: "modules", slots: 4, maxMemoryMib: memoryMib + 256 },
    runDirectory: `/tmp/kata-clh-test.${getpid()}`,
    ...changes,
  });
}

async function withDirectory(
  body: (spec: MachineSpec) => Promise<void>,
  changes: Partial<MachineSpec> = {},
): Promise<void> {
  const spec = machineSpec(changes);
  mkdirAll(spec.runDirectory, 0o700);
  try {
    await body(spec);
    assertEqual(
      readDirectory(spec.runDirectory)
        .map(({ name }) => name)
        .filter((name) => name.endsWith(".sock")),
      [],
      "no socket is left",
    );
  } finally {
    removeTree(spec.runDirectory);
  }
}

vmTest("a guest boots, answers over the hybrid vsock, and devices come and go while it runs", () =>
  withDirectory(bootAndPlug),
);

vmTest("it does the same for a monitor that is a user of its own", async () => {
  const user = takeMonitorUser(testId(), undefined);
  await withDirectory(
    async (spec) => {
      await bootAndPlug(spec);
      assertEqual(readDirectory(`${user.directory}/disks`), [], "disks");
    },
    { user, runDirectory: user.directory },
  );
});

async function bootAndPlug(spec: MachineSpec): Promise<void> {
  const context = { clock: loop, logger: new TestLogger() };
  // The loop has a descriptor of its own from its first wait on.
  await sleep(loop, 1);
  const before = readDirectory("/proc/self/fd").length;
  const namespace = NetworkNamespace.open("/proc/self/ns/net");
  const [tap] = makeTap(namespace, "tap0_kata", 1);
  const [later] = makeTap(namespace, "tap1_kata", 1);
  if (tap === undefined || later === undefined) throw new Error("no tap was made");
  const other = { kind: "tap", queues: [{ tap: later.fd }] } as const;
  const card = {
    kind: "network",
    id: "network0",
    macAddress: "02:00:00:00:00:07",
    backend: { kind: "tap", queues: [{ tap: tap.fd }] },
  } as const;
  const machine = await cloudHypervisor.boot({ ...spec, devices: [card] }, context);
  try {
    const agent = await connectAgent(machine.agentChannel, DIAL_TIMEOUT_MS, new CancelSource().signal);
    const eth7 = {
      device: "eth7",
      name: "eth7",
      hwAddr: card.macAddress,
      IPAddresses: [],
      mtu: 1500n,
      rawFlags: 0,
    };
    await agent.calls.updateInterface({ interface: eth7 });

    const disk = `${spec.runDirectory}/disk`;
    {
      using file = open(disk, O_RDWR | O_CREAT, 0o600);
      ftruncate(file.fd, 1 << 20);
    }
    const device = { kind: "disk", id: "disk0", path: disk, readOnly: false, isMade: true } as const;
    const pciPath = addressText(await machine.attach(device));
    assert(/^[0-9a-f]{2}$/.test(pciPath), `a slot of the root bus: ${pciPath}`);
    await assertThrows(
      () => machine.attach(device),
      (error) => hasCode(error, "already-exists"),
      "already-exists",
    );
    await machine.resizeDisk("disk0", 2n << 20n);
    assertEqual(stat(disk).size, 2 << 20, "size of the file");
    await machine.detach("disk0");
    await assertThrows(
      () => machine.resizeDisk("disk0", 4n << 20n),
      (error) => hasCode(error, "not-found"),
      "not-found",
    );
    {
      // It would stop the guest's CPUs in this version.
      await using block = await loopDevice(disk);
      await machine.attach({ kind: "disk", id: "disk1", path: block.path, readOnly: false });
      await assertThrows(
        () => machine.resizeDisk("disk1", 4n << 20n),
        (error) => hasCode(error, "unsupported"),
        "unsupported",
      );
      await machine.detach("disk1");
    }
    // Its place is free again.
    await machine.attach(device);
    await machine.detach("disk0");
    await assertThrows(
      () => machine.detach("disk0"),
      (error) => hasCode(error, "not-found"),
      "not-found",
    );
    await machine.attach({ ...card, id: "network1", macAddress: "02:00:00:00:00:08", backend: other });
    await agent.calls.updateInterface({
      interface: { ...eth7, device: "eth8", name: "eth8", hwAddr: "02:00:00:00:00:08" },
    });
    await machine.detach("network1");
    // Devices of the host are root's.
    if (spec.user === undefined) await plugHostCard(machine);
    const size = { vcpus: 2, memoryMib: spec.memoryMib + 128 };
    assertEqual(await machine.resize(size, 128), size);
    await agent.calls.onlineCPUMem({ wait: true, nbCpus: 1, cpuOnly: false });
    await assertThrows(
      () => machine.resize({ vcpus: 3, memoryMib: spec.memoryMib }, 128),
      (error) => hasCode(error, "hypervisor-error"),
      "more than it was started for",
    );
    assertEqual(machine.size, size);

    await machine.pause();
    await assertThrows(
      () => machine.pause(),
      (error) => hasCode(error, "hypervisor-error"),
      "the monitor's own refusal",
    );
    await machine.resume();
    await agent.calls.updateInterface({ interface: eth7 });
    // The card of the start can go, and once only.
    await machine.detach(card.id);
    await assertThrows(
      () => machine.detach(card.id),
      (error) => hasCode(error, "not-found"),
      "not-found",
    );
    agent.close();
  } finally {
    await machine.stop();
    tap.close();
    later.close();
    namespace.close();
  }
  assert(/exited with status 0/.test((await machine.exited).reason), (await machine.exited).reason);
  assertEqual(readDirectory("/proc/self/fd").length, before, "descriptors");
}

async function plugHostCard(machine: VirtualMachine): Promise<void> {
  const passed = { kind: "host-card", id: "card0", pciAddress: "0000:81:00.0", port: "root-port" } as const;
  assert(/^[0-9a-f]{2}$/.test(addressText(await machine.attach(passed))), "a slot of the root bus");
  await assertThrows(
    () => machine.attach({ ...passed, id: "card1", pciAddress: "../0" }),
    (error) => hasCode(error, "hypervisor-error"),
    "the monitor's own refusal",
  );
  await machine.detach("card0");
}

for (const isRootless of [false, true]) {
  const who = isRootless ? "another user than root" : "root";
  vmTest(
    `a monitor that confines itself as ${who} gets the pod's disks, and of the host's what it may`,
    async () => {
      const id = testId();
      const user = isRootless ? takeMonitorUser(id, undefined) : undefined;
      using place = testPlace();
      const [volumes, elsewhere] = [`${place.path}/volumes`, `${place.path}/elsewhere`];
      for (const directory of [volumes, elsewhere]) mkdirAll(directory);
      const { disks } = sandboxPaths(id);
      mkdirAll(disks, 0o700);
      await using block = await loopDeviceOver(`${place.path}/block`);
      const options = { ...NO_OPTIONS, landlock: [volumes] };
      const run = async (spec: MachineSpec): Promise<void> => {
        const machine = await cloudHypervisor.boot(spec, { clock: loop, logger: new TestLogger() });
        const give = async (path: string) => {
          if (!exists(path)) makeSparseFile(path, 1);
          await machine.attach({
            kind: "disk",
            id: "disk0",
            path,
            readOnly: false,
            isMade: path !== block.path,
          });
          await machine.detach("disk0");
        };
        try {
          // Before it listens the guest lets go of no disk.
          const { signal } = new CancelSource();
          (await connectAgent(machine.agentChannel, DIAL_TIMEOUT_MS, signal)).close();
          for (const path of [`${disks}/made`, `${volumes}/image`, block.path]) await give(path);
          // To another user than root everything comes by its own directory.
          if (isRootless) await give(`${elsewhere}/image`);
          else {
            await assertThrows(
              () => give(`${elsewhere}/image`),
              (error) => hasCode(error, "hypervisor-error") && String(error).includes("Permission denied"),
              "a disk that no rule lets it open",
            );
          }
        } finally {
          await machine.stop();
        }
      };
      try {
        await withDirectory(run, {
          id,
          options,
          ...(user === undefined ? {} : { user, runDirectory: user.directory }),
        });
      } finally {
        removeTree(disks);
      }
    },
  );
}

async function loopDeviceOver(path: string): Promise<LoopDevice> {
  makeSparseFile(path, 1);
  return await loopDevice(path);
}

vmTest("a monitor that is killed is told, and leaves no socket", () =>
  withDirectory(async (spec) => {
    const machine = await cloudHypervisor.boot(spec, { clock: loop, logger: new TestLogger() });
    kill(machine.pid, SIGKILL);
    const { reason } = await machine.exited;
    assert(/^Cloud Hypervisor was killed by signal 9/.test(reason), reason);
    await assertThrows(
      () => machine.pause(),
      (error) => hasCode(error, "unavailable"),
      "unavailable",
    );
    await machine.stop();
  }),
);

vmTest("what the monitor refuses is told in its words, and nothing is left running", () =>
  withDirectory(async (spec) => {
    await assertThrows(
      () =>
        cloudHypervisor.boot({ ...spec, vcpus: 2, maxVcpus: 1 }, { clock: loop, logger: new TestLogger() }),
      (error) => hasCode(error, "hypervisor-error") && String(error).includes("CpusMaxLowerThanBoot"),
      "the monitor's refusal",
    );
  }),
);

vmTest("a confidential guest is described as one, down to what its processor lacks here", () =>
  withDirectory(async (spec) => {
    const igvm = `${spec.runDirectory}/guest.igvm`;
    makeSparseFile(igvm, 1);
    const confidential = {
      kind: "sev-snp",
      encryptionBit: 51,
      policy: 0,
      idBlock: "",
      idAuthentication: "",
      hostData: `${"A".repeat(43)}=`,
      igvm,
    } as const;
    const boot = (changes: { readonly hostData?: string }) =>
      cloudHypervisor.boot(
        // As the sandbox asks for it: nothing of a confidential guest changes.
        { ...spec, maxVcpus: 1, memoryGrowth: undefined, confidential: { ...confidential, ...changes } },
        { clock: loop, logger: new TestLogger() },
      );
    await assertThrows(
      () => boot({}),
      (error) =>
        hasCode(error, "hypervisor-error") && String(error).includes("this processor has no SEV-SNP"),
      "a machine that the monitor would boot",
    );
    await assertThrows(
      () => boot({ hostData: "AAAA" }),
      (error) => hasCode(error, "hypervisor-error") && String(error).includes("InvalidHostData"),
      "host data of another length",
    );
  }),
);

vmTest("a program that is none names the key to set", () =>
  withDirectory(async (spec) => {
    await assertThrows(
      () =>
        cloudHypervisor.boot(
          { ...spec, program: "/nonexistent/clh" },
          { clock: loop, logger: new TestLogger() },
        ),
      (error) =>
        hasCode(error, "invalid-configuration") && String(error).includes("path of [hypervisor.clh]"),
      "invalid-configuration",
    );
    assert(!exists(`${spec.runDirectory}/clh-api.sock`), "no socket");
  }),
);

runTests();
