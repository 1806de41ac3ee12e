/**
 * Cards of the host that come and go with a container: what QEMU's monitor is told, and what becomes of their drivers. On files that stand
 * for sysfs and a monitor that follows a script: no machine of the tests has a card to give away.
 */
import { hasCode } from "../../kata-error.ts";
import { loop } from "../../sys/event-loop.ts";
import { mkdirAll, readTextFile, removeTree, symlink, unlinkIfExists, writeFile } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import type { CardPort } from "../hypervisor/host-card.ts";
import { HotPlug } from "../hypervisor/qemu/hot-plug.ts";
import { HotPlugSlots } from "../hypervisor/qemu/hot-plug-slots.ts";
import type { NetworkStep } from "../network/network-steps.ts";
import { type QemuReply, ScriptedQemu } from "../testing/scripted-qemu.ts";
import { TestLogger } from "../testing/test-pod.ts";
import { CardDrivers } from "./card-drivers.ts";
import { cardWindows } from "./card-windows.ts";
import { HostCards } from "./host-cards.ts";

const BRIDGE = "0000:00:01.0";
const GPU = "0000:81:00.0";
const AUDIO = "0000:81:00.1";
/** Alone in a group, and bound ahead by a device plug-in. */
const READY = "0000:82:00.0";
const NODE = { type: "c", path: "/dev/vfio/12", major: 240, minor: 0 } as const;
const READY_NODE = { type: "c", path: "/dev/vfio/devices/vfio3", major: 239, minor: 3 } as const;

interface FakeSysfs extends Disposable {
  readonly path: string;
  override(card: string): string;
}

function fakeSysfs(): FakeSysfs {
  const path = `/tmp/kata-host-cards.${getpid()}`;
  const group = `${path}/kernel/iommu_groups/12/devices`;
  for (const each of [group, `${path}/dev/char`, `${path}/bus/pci/drivers/vfio-pci`]) mkdirAll(each);
  for (const [card, deviceClass, driver] of [
    [BRIDGE, "0x060400", "pcieport"],
    [GPU, "0x030000", "nouveau"],
    [AUDIO, "0x040300", "snd_hda_intel"],
    [READY, "0x020000", "mlx5_vfio_pci"],
  ] as const) {
    const device = `${path}/bus/pci/devices/${card}`;
    mkdirAll(`${device}/iommu_group`);
    mkdirAll(`${path}/bus/pci/drivers/${driver}`);
    writeFile(`${path}/bus/pci/drivers/${driver}/unbind`, "");
    writeFile(`${device}/class`, `${deviceClass}\n`);
    writeFile(`${device}/driver_override`, "");
    symlink(`../../drivers/${driver}`, `${device}/driver`);
    if (card !== READY) symlink(`../../../../bus/pci/devices/${card}`, `${group}/${card}`);
  }
  writeFile(`${path}/bus/pci/drivers_probe`, "");
  symlink("../../devices/virtual/vfio/12", `${path}/dev/char/240:0`);
  symlink(`../../devices/pci0000:80/${READY}/vfio-dev/vfio3`, `${path}/dev/char/239:3`);
  const override = (card: string): string => readTextFile(`${path}/bus/pci/devices/${card}/driver_override`);
  return { path, override, [Symbol.dispose]: () => removeTree(path) };
}

/** QEMU with two root ports and one port of a switch. */
const PCI = [
  {
    devices: [
      { slot: 2, qdev_id: "port0", pci_bridge: { devices: [] } },
      { slot: 3, qdev_id: "port1", pci_bridge: { devices: [] } },
      {
        slot: 4,
        qdev_id: "switch0-root",
        pci_bridge: {
          devices: [
            {
              slot: 0,
              qdev_id: "switch0",
              pci_bridge: { devices: [{ slot: 0, qdev_id: "switchport0", pci_bridge: { devices: [] } }] },
            },
          ],
        },
      },
    ],
  },
];

interface Pod extends AsyncDisposable {
  readonly cards: HostCards;
  readonly drivers: CardDrivers;
  readonly logger: TestLogger;
  /** `device_add` with all that it was given, and `device_del`. */
  readonly told: string[];
  /** Steps that a clean-up after a crash would undo. */
  readonly steps: NetworkStep[];
}

async function pod(
  sysfs: FakeSysfs,
  port: CardPort,
  more: { readonly guestKernelDrives?: boolean; readonly refuses?: string } = {},
): Promise<Pod> {
  const told: string[] = [];
  const steps: NetworkStep[] = [];
  const script = new ScriptedQemu((command, args): QemuReply => {
    if (command === "query-pci") return { value: PCI };
    told.push(`${command} ${JSON.stringify(args)}`);
    if (command === "device_add" && args.host === more.refuses) return { error: "group is not viable" };
    if (command === "device_del") return { events: [["DEVICE_DELETED", { device: args.id, path: "" }]] };
    return {};
  });
  const monitor = await script.connect(loop);
  const logger = new TestLogger();
  const record = {
    add: (step: NetworkStep) => void steps.push(step),
    remove: (step: NetworkStep) => void steps.splice(steps.indexOf(step), 1),
  };
  const drivers = new CardDrivers(record, logger, sysfs.path);
  const hotPlug = new HotPlug(monitor, new HotPlugSlots(true, 2, 1));
  const machine = {
    attach: hotPlug.attach.bind(hotPlug),
    detach: hotPlug.detach.bind(hotPlug),
  };
  const guestKernelDrives = more.guestKernelDrives ?? true;
  const cards = new HostCards({ machine, port, drivers, guestKernelDrives, logger, sysfs: sysfs.path });
  return {
    cards,
    drivers,
    logger,
    told,
    steps,
    [Symbol.asyncDispose]: async () => monitor.close(),
  };
}

const added = (host: string, id: string, bus: string, addr: string): string =>
  `device_add ${JSON.stringify({ host, driver: "vfio-pci", id, bus, addr })}`;
const removed = (id: string): string => `device_del ${JSON.stringify({ id })}`;

test("all cards of a group go into ports of their own, and out of them in reverse, with their drivers", async () => {
  using sysfs = fakeSysfs();
  await using one = await pod(sysfs, "root-port");
  const plugged = await one.cards.plugIn(NODE);
  assertEqual(plugged.message, {
    id: "12",
    type: "vfio-pci-gk",
    vmPath: "",
    containerPath: "/dev/vfio/12",
    options: [`${GPU}=02/00`, `${AUDIO}=03/00`],
  });
  assertEqual(one.told, [added(GPU, "card0", "port0", "00"), added(AUDIO, "card1", "port1", "00")]);
  assertEqual(one.steps, [
    { kind: "driver", pciAddress: GPU, driver: "nouveau" },
    { kind: "driver", pciAddress: AUDIO, driver: "snd_hda_intel" },
  ]);
  assertEqual([BRIDGE, GPU, AUDIO].map(sysfs.override), ["", "vfio-pci", "vfio-pci"]);
  await assertThrows(
    () => one.cards.plugIn(NODE),
    (error) => hasCode(error, "failed-precondition") && error.object.includes(GPU),
    "in use",
  );

  // As the kernel does when a card is probed.
  for (const card of [GPU, AUDIO]) {
    unlinkIfExists(`${sysfs.path}/bus/pci/devices/${card}/driver`);
    symlink("../../drivers/vfio-pci", `${sysfs.path}/bus/pci/devices/${card}/driver`);
  }
  writeFile(`${sysfs.path}/bus/pci/drivers/vfio-pci/unbind`, "");
  one.told.length = 0;
  await plugged.release();
  assertEqual(one.told, [removed("card1"), removed("card0")]);
  assertEqual(one.steps, [], "steps that are left");
  assertEqual(
    readTextFile(`${sysfs.path}/bus/pci/drivers/vfio-pci/unbind`),
    AUDIO,
    "the last card that it lost",
  );
  assertEqual((await one.cards.plugIn(NODE)).message.options.length, 2, "cards that come again");
});

for (const [port, bus, addr, path] of [
  ["switch-port", "switchport0", "00", "04/00/00/00"],
  ["root-port", "port0", "00", "02/00"],
] as const) {
  test(`a single card that is bound already goes into a ${port}, and its driver is left alone`, async () => {
    using sysfs = fakeSysfs();
    await using one = await pod(sysfs, port);
    const plugged = await one.cards.plugIn(READY_NODE);
    assertEqual([plugged.message.id, plugged.message.options], ["vfio3", [`${READY}=${path}`]]);
    assertEqual(one.told, [added(READY, "card0", bus, addr)]);
    assertEqual([one.steps, sysfs.override(READY)], [[], ""]);
    await plugged.release();
    assertEqual(sysfs.override(READY), "");
  });
}

test("a card that QEMU refuses leaves nothing: those before it come out, and all have their drivers", async () => {
  using sysfs = fakeSysfs();
  await using one = await pod(sysfs, "root-port", { refuses: AUDIO });
  await assertThrows(
    () => one.cards.plugIn(NODE),
    (error) => hasCode(error, "hypervisor-error") && /not viable/.test(String(error)),
    "QEMU's words",
  );
  assertEqual(one.told.at(-1), removed("card0"));
  assertEqual(one.steps, []);
});

test("more cards than ports are refused with the key that makes more, and come out again", async () => {
  using sysfs = fakeSysfs();
  await using one = await pod(sysfs, "switch-port");
  await assertThrows(
    () => one.cards.plugIn(NODE),
    (error) => hasCode(error, "resource-exhausted") && error.hint?.includes("pcie_switch_port") === true,
    "no port",
  );
  assertEqual([one.told.at(-1), one.steps], [removed("card0"), []]);
});

test("a card that the guest keeps is bound to vfio-pci until the machine has ended", async () => {
  using sysfs = fakeSysfs();
  const steps: NetworkStep[] = [];
  const logger = new TestLogger();
  const record = { add: (step: NetworkStep) => void steps.push(step), remove: () => void steps.pop() };
  const drivers = new CardDrivers(record, logger, sysfs.path);
  const machine = {
    attach: () => Promise.resolve({ pciPath: "02/00" }),
    detach: () => Promise.reject(new Error("the guest keeps it")),
  };
  const cards = new HostCards({
    ...{ machine, port: "root-port", drivers, guestKernelDrives: true, logger, sysfs: sysfs.path },
  });
  const plugged = await cards.plugIn(NODE);
  await plugged.release();
  assert(
    logger.of("warn").some((line) => line.includes("the guest keeps it")),
    "the log tells why",
  );
  assertEqual([steps.length, sysfs.override(GPU)], [2, "vfio-pci"]);
  await assertThrows(
    () => cards.plugIn(NODE),
    (error) => hasCode(error, "failed-precondition"),
    "still in use",
  );
  drivers.giveBackAll();
  assertEqual(steps, []);
});

test("programs that drive cards themselves get groups, and no single cards", async () => {
  using sysfs = fakeSysfs();
  await using one = await pod(sysfs, "root-port", { guestKernelDrives: false });
  assertEqual((await one.cards.plugIn(NODE)).message.type, "vfio-pci");
  await assertThrows(
    () => one.cards.plugIn(READY_NODE),
    (error) => hasCode(error, "unsupported") && error.hint?.includes("guest-kernel") === true,
    "unsupported",
  );
});

test("nodes that are none of the host's, and mediated devices, are refused", async () => {
  using sysfs = fakeSysfs();
  await using one = await pod(sysfs, "root-port");
  await assertThrows(
    () => one.cards.plugIn({ ...NODE, minor: 9 }),
    (error) => hasCode(error, "not-found"),
    "not-found",
  );
  symlink("x", `${sysfs.path}/kernel/iommu_groups/12/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001`);
  await assertThrows(
    () => one.cards.plugIn(NODE),
    (error) => hasCode(error, "unsupported") && error.object.includes("83b8f4f2"),
    "unsupported",
  );
  assertEqual([one.told, one.steps], [[], []]);
});

test("ports get room for the largest card that is bound ahead, and none is asked for small ones", () => {
  using sysfs = fakeSysfs();
  assertEqual(cardWindows(sysfs.path), undefined);
  assertEqual(cardWindows(`${sysfs.path}/nowhere`), undefined);
  symlink(`../../devices/${READY}`, `${sysfs.path}/bus/pci/drivers/mlx5_vfio_pci/${READY}`);
  const resource = `${sysfs.path}/bus/pci/devices/${READY}/resource`;
  writeFile(resource, "0x0000384000000000 0x00003840000fffff 0x000000000014220c\n");
  assertEqual(cardWindows(sysfs.path), undefined, "a mebibyte");
  writeFile(resource, "0x0000384000000000 0x00003843ffffffff 0x000000000014220c\n");
  assertEqual(cardWindows(sysfs.path), { memoryMib: 2, prefetchableMib: 32_768 });
});

runTests();
