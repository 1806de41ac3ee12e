/**
 * A card that comes while a real guest runs, at each kind of port, for its kernel and for a program of a container's. Needs our guest
 * (`npm run image`).
 *
 * No machine of the tests has a card to give away: QEMU is told of one that it emulates instead, and all else is as with a card of the
 * host's.
 */
import type { Spec } from "../../oci/types.ts";
import { specToMessage } from "../../oci/wire.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import { loop } from "../../sys/event-loop.ts";
import { ftruncate, mkdirAll, O_CREAT, O_RDWR, open } from "../../sys/files.ts";
import { connect } from "../../sys/socket.ts";
import { assert, assertEqual, runTests } from "../../sys/testing/native-test.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import type { AgentClient } from "../agent-client.ts";
import { connectAgent } from "../agent-connection.ts";
import type { CardPort } from "../hypervisor/host-card.ts";
import { NO_OPTIONS } from "../hypervisor/machine-options.ts";
import { qemu } from "../hypervisor/qemu/driver.ts";
import { HotPlug } from "../hypervisor/qemu/hot-plug.ts";
import { HotPlugSlots } from "../hypervisor/qemu/hot-plug-slots.ts";
import { QmpClient } from "../hypervisor/qemu/qmp-client.ts";
import type { AttachedDevice, MachineSpec } from "../hypervisor/types.ts";
import { addressText, diskOfStorage, type GuestDevice } from "../storage/guest-messages.ts";
import { runHostProgram } from "../storage/host-program.ts";
import { testMachineSpec } from "../testing/test-machine.ts";
import {
  TestLogger,
  type TestPlace,
  testConfiguration,
  testId,
  testPlace,
  testSpec,
  vmTest,
} from "../testing/test-pod.ts";

/** Where cards would be on the host, and what is emulated for them: the last two have 32 MiB below 4 GiB, and 16 GiB anywhere. */
const CARD = "0000:81:00.0";
const LOW_CARD = "0000:82:00.0";
const HIGH_CARD = "0000:83:00.0";
const EMULATED = [
  [CARD, '"driver":"e1000"'],
  [LOW_CARD, '"driver":"bochs-display","vgamem":33554432'],
  [HIGH_CARD, '"driver":"ivshmem-plain","memdev":"shared"'],
] as const;
const LOW_BYTES = 32n << 20n;
const HIGH_BYTES = 16n << 30n;
const DIAL_TIMEOUT_MS = 60_000;
const CALL = { timeoutMs: 60_000 };
const ROOT = "/run/kata-containers/sandbox/storage/root";
/** Intel's 82540EM, which QEMU calls e1000. */
const VENDOR_AND_DEVICE = "0x8086 0x100e";

function machineSpec(runDirectory: string): MachineSpec {
  return testMachineSpec({
    program: testConfiguration().hypervisor.path,
    accelerator: "tcg",
    machineType: "q35",
    hotPlugSlots: 1,
    runDirectory,
    options: {
      ...NO_OPTIONS,
      iommu: true,
      switchPorts: 1,
      extraMonitor: "qmp",
      cardPort: "root-port",
      cardWindows: { memoryMib: 64, prefetchableMib: 32 << 10 },
    },
  });
}

/** A second monitor of the machine, which is told of the emulated card wherever the driver asks for a card of the host. */
async function monitorWithCards(runDirectory: string): Promise<QmpClient> {
  const stream = await connect({ kind: "unix", path: `${runDirectory}/extra-monitor.sock` });
  const replaced = (bytes: Uint8Array): Uint8Array => {
    let text = utf8Decode(bytes);
    for (const [card, emulated] of EMULATED)
      text = text.replace(`"host":"${card}","driver":"vfio-pci"`, emulated);
    return utf8Encode(text);
  };
  return await QmpClient.connect(
    {
      read: (into) => stream.read(into),
      write: (bytes) => stream.write(replaced(bytes)),
      writeWithDescriptors: () => Promise.reject(new Error("no descriptor is sent")),
      close: () => stream.close(),
    },
    loop,
  );
}

async function rootDisk(place: TestPlace): Promise<string> {
  const path = `${place.path}/root.img`;
  {
    using file = open(path, O_RDWR | O_CREAT, 0o600);
    ftruncate(file.fd, 16 << 20);
  }
  const args = ["-q", "-F", "-d", place.rootfs, path];
  assertEqual(await runHostProgram({ name: "mkfs.ext4", args, deadlineMs: 30_000 }), 0, "mkfs.ext4");
  return path;
}

/** Runs `script` in a container with the card. @returns what it says. */
async function runWith(
  calls: AgentClient,
  script: string,
  device: GuestDevice,
  disk: AttachedDevice,
): Promise<string> {
  const id = testId();
  const base = testSpec(ROOT, ["sh", "-c", script]);
  const spec: Spec = {
    ...base,
    process: {
      ...(base.process ?? { cwd: "/", user: { uid: 0, gid: 0 } }),
      env: ["PATH=/bin", `PCIDEVICE_TEST=${CARD}`],
    },
    linux: {
      ...base.linux,
      namespaces: [{ type: "mount" }, { type: "pid" }],
      devices:
        device.type === "vfio-pci" ? [{ type: "c", path: device.containerPath, major: 240, minor: 0 }] : [],
    },
  };
  await calls.createContainer(
    {
      containerId: id,
      OCI: specToMessage(spec),
      storages: [{ ...diskOfStorage(disk), fstype: "ext4", options: [], mountPoint: ROOT }],
      devices: [device],
      sandboxPidns: false,
    },
    CALL,
  );
  await calls.startContainer({ containerId: id }, CALL);
  const name = { containerId: id, execId: "" };
  const { status } = await calls.waitProcess(name, CALL);
  const { data } = await calls.readStdout({ ...name, len: 4096 }, CALL);
  const errors = status === 0 ? "" : utf8Decode((await calls.readStderr({ ...name, len: 4096 }, CALL)).data);
  await calls.removeContainer({ containerId: id, timeout: 0 }, CALL);
  assertEqual([status, errors], [0, ""], "how the script ends");
  return utf8Decode(data);
}

vmTest(
  "a card is found at each kind of port by its kernel, by a program by VFIO, and goes again",
  async () => {
    using place = testPlace();
    const runDirectory = `${place.path}/run`;
    mkdirAll(runDirectory, 0o700);
    const disk = await rootDisk(place);
    const machine = await qemu.boot(machineSpec(runDirectory), { clock: loop, logger: new TestLogger() });
    try {
      const agent = await connectAgent(machine.agentChannel, DIAL_TIMEOUT_MS, new CancelSource().signal);
      const { calls } = agent;
      await calls.createSandbox(
        { hostname: "box", dns: [], storages: [], sandboxPidns: false, sandboxId: "s", kernelModules: [] },
        CALL,
      );
      const monitor = await monitorWithCards(runDirectory);
      const hotPlug = new HotPlug(monitor, new HotPlugSlots(true, 1, 1));
      const memory = `${place.path}/shared`;
      {
        using file = open(memory, O_RDWR | O_CREAT, 0o600);
        ftruncate(file.fd, Number(HIGH_BYTES));
      }
      await monitor.execute("object-add", {
        "qom-type": "memory-backend-file",
        id: "shared",
        size: Number(HIGH_BYTES),
        "mem-path": memory,
        share: true,
      });
      const root = await hotPlug.attach({ kind: "disk", id: "disk0", path: disk, readOnly: false });
      for (const port of ["root-port", "switch-port", "bridge-port"] as const satisfies CardPort[]) {
        const at = await hotPlug.attach({ kind: "host-card", id: "card0", pciAddress: CARD, port });
        const depth = addressText(at).split("/").length;
        assertEqual(depth, port === "switch-port" ? 4 : 2, `slots on the way to a ${port}`);
        const options = [`${CARD}=${addressText(at)}`];
        const device = { id: "12", vmPath: "", containerPath: "/dev/vfio/12", options };
        const script =
          "cd /sys/bus/pci/devices/$PCIDEVICE_TEST; echo $(cat vendor device) $(head -n 1 resource)";
        const found = await runWith(calls, script, { ...device, type: "vfio-pci-gk" }, root);
        const [vendor, model, first = "", last = ""] = found.trim().split(" ");
        assertEqual(`${vendor} ${model}`, VENDOR_AND_DEVICE, `the card at a ${port}`);
        assertEqual(
          BigInt(last) - BigInt(first),
          0x1ffffn,
          `memory that the guest gives the card at a ${port}`,
        );
        if (port === "root-port") {
          const open =
            "ls /dev/vfio; cat /sys/bus/pci/devices/$PCIDEVICE_TEST/driver_override; exec 3<>/dev/vfio/[0-9]*; echo open";
          const told = await runWith(calls, open, { ...device, type: "vfio-pci" }, root);
          assert(/^\d+\nvfio-pci\nopen\n$/.test(told), `its group is open: ${JSON.stringify(told)}`);
        }
        await hotPlug.detach("card0");
      }
      for (const [card, register, bytes] of [
        [HIGH_CARD, 2, HIGH_BYTES],
        [LOW_CARD, 0, LOW_BYTES],
      ] as const) {
        const at = await hotPlug.attach({
          kind: "host-card",
          id: "card1",
          pciAddress: card,
          port: "root-port",
        });
        const options = [`${CARD}=${addressText(at)}`];
        const device = {
          id: "13",
          type: "vfio-pci-gk",
          vmPath: "",
          containerPath: "/dev/vfio/13",
          options,
        } as const;
        const script = "cat /sys/bus/pci/devices/$PCIDEVICE_TEST/resource";
        const registers = (await runWith(calls, script, device, root)).split("\n");
        const [first = "", last = ""] = registers[register]?.split(" ") ?? [];
        assertEqual(
          BigInt(last) - BigInt(first) + 1n,
          bytes,
          "memory of a large card, for which a port has room",
        );
        // QEMU's display of this kind does not go.
        if (card === HIGH_CARD) await hotPlug.detach("card1");
      }
      agent.close();
    } finally {
      await machine.stop();
    }
  },
);

runTests();
