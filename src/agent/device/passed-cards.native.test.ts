/** Cards that have been plugged in, on files that stand for the guest's sysfs. */
import { hasCode } from "../../kata-error.ts";
import {
  AT_FDCWD,
  mkdirAll,
  mknodat,
  readTextFile,
  removeIfEmpty,
  removeTree,
  S_IFCHR,
  symlink,
  unlinkIfExists,
  writeFile,
} from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { takePassedCards } from "./passed-cards.ts";

/** As no machine has. */
const GROUP = "987654";
const NODE = `/dev/vfio/${GROUP}`;
const PORT = "0000:00:02.0";
const CARD = "0000:01:00.0";
const DEVICE = {
  id: "12",
  guestPath: "",
  containerPath: "/dev/vfio/12",
  options: ["0000:81:00.0=02/00"],
} as const;

interface FakeGuest extends Disposable {
  readonly path: string;
  readonly card: string;
}

function fakeGuest(hasIommu: boolean): FakeGuest {
  const path = `/tmp/kata-passed-cards.${getpid()}`;
  const bridge = `${path}/devices/pci0000:00/${PORT}`;
  const card = `${bridge}/${CARD}`;
  mkdirAll(`${bridge}/pci_bus/0000:01`);
  mkdirAll(card);
  for (const driver of ["e1000e", "vfio-pci"]) mkdirAll(`${path}/bus/pci/drivers/${driver}`);
  writeFile(`${path}/bus/pci/drivers/e1000e/unbind`, "");
  writeFile(`${path}/bus/pci/drivers_probe`, "");
  writeFile(`${card}/driver_override`, "");
  symlink(`${path}/bus/pci/drivers/e1000e`, `${card}/driver`);
  if (hasIommu) symlink(`../../../../kernel/iommu_groups/${GROUP}`, `${card}/iommu_group`);
  return { path, card, [Symbol.dispose]: () => removeTree(path) };
}

test("a card for the guest's kernel is waited for, and its driver keeps it", async () => {
  using guest = fakeGuest(false);
  const loaded: string[] = [];
  const take = (timeoutMs: number) =>
    takePassedCards(
      { ...DEVICE, type: "vfio-pci-gk" },
      timeoutMs,
      (name) => void loaded.push(name),
      guest.path,
    );
  const cards = await take(1000);
  assertEqual([...cards.addresses], [["0000:81:00.0", CARD]]);
  assertEqual([loaded.length, readTextFile(`${guest.card}/driver_override`)], [0, ""]);
  removeTree(guest.card);
  await assertThrows(
    () => take(30),
    (error) => hasCode(error, "deadline-exceeded"),
    "it has not come",
  );
});

test("a card for programs is taken from its driver, bound to vfio-pci, and known by its group", async () => {
  using guest = fakeGuest(true);
  mkdirAll("/dev/vfio");
  mknodat(AT_FDCWD, NODE, S_IFCHR | 0o600, 240, 7);
  try {
    const loaded: string[] = [];
    const cards = await takePassedCards(
      { ...DEVICE, type: "vfio-pci" },
      1000,
      (name) => void loaded.push(name),
      guest.path,
    );
    assertEqual(cards.group, { path: NODE, major: 240, minor: 7 });
    assertEqual(
      [
        loaded.join(" "),
        readTextFile(`${guest.card}/driver_override`),
        readTextFile(`${guest.path}/bus/pci/drivers/e1000e/unbind`),
        readTextFile(`${guest.path}/bus/pci/drivers_probe`),
      ],
      ["vfio-pci vfio_iommu_type1", "vfio-pci", CARD, CARD],
    );
  } finally {
    unlinkIfExists(NODE);
    removeIfEmpty("/dev/vfio");
  }
});

test("a card for programs in a guest without an IOMMU is refused, with the key that gives it one", async () => {
  using guest = fakeGuest(false);
  await assertThrows(
    () => takePassedCards({ ...DEVICE, type: "vfio-pci" }, 1000, () => undefined, guest.path),
    (error) => hasCode(error, "failed-precondition") && error.hint?.includes("enable_iommu") === true,
    "no IOMMU",
  );
  assertEqual(readTextFile(`${guest.card}/driver_override`), "");
});

runTests();
