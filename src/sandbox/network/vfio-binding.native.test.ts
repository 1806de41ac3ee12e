/** Binding a PCI card to vfio-pci, on files that stand for sysfs: no machine of the tests has a card to give away. */
import { hasCode } from "../../kata-error.ts";
import {
  mkdirAll,
  readTextFile,
  removeTree,
  rmdirIfExists,
  symlink,
  unlinkIfExists,
  writeFile,
} from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { bindToVfio, driverOfCard, giveBackDriver } from "./vfio-binding.ts";

const CARD = "0000:01:00.0";

interface FakeSysfs extends Disposable {
  readonly path: string;
  readonly device: string;
  /** As the kernel does when the card is probed. */
  bindTo(driver: string): void;
}

function fakeSysfs(): FakeSysfs {
  const path = `/tmp/kata-sysfs-test.${getpid()}`;
  const device = `${path}/bus/pci/devices/${CARD}`;
  for (const each of [device, `${device}/iommu_group`]) mkdirAll(each);
  for (const driver of ["ixgbevf", "vfio-pci"]) {
    mkdirAll(`${path}/bus/pci/drivers/${driver}`);
    writeFile(`${path}/bus/pci/drivers/${driver}/unbind`, "");
  }
  writeFile(`${device}/driver_override`, "");
  writeFile(`${path}/bus/pci/drivers_probe`, "");
  const bindTo = (driver: string): void => {
    unlinkIfExists(`${device}/driver`);
    symlink(`../../drivers/${driver}`, `${device}/driver`);
  };
  bindTo("ixgbevf");
  return { path, device, bindTo, [Symbol.dispose]: () => removeTree(path) };
}

test("a card is taken from its driver, bound to vfio-pci, and given back", () => {
  using sysfs = fakeSysfs();
  const driver = driverOfCard(CARD, sysfs.path);
  assertEqual(driver, "ixgbevf");
  bindToVfio(CARD, sysfs.path);
  const read = (name: string) => readTextFile(`${sysfs.path}/${name}`);
  const state = () => [
    readTextFile(`${sysfs.device}/driver_override`),
    read("bus/pci/drivers/ixgbevf/unbind"),
    read("bus/pci/drivers/vfio-pci/unbind"),
    read("bus/pci/drivers_probe"),
  ];
  assertEqual(state(), ["vfio-pci", CARD, "", CARD]);
  sysfs.bindTo("vfio-pci");
  writeFile(`${sysfs.path}/bus/pci/drivers_probe`, "");
  giveBackDriver(CARD, driver, sysfs.path);
  // These files keep what is longer: "vfio-pci" became "ixgbevfi", whose first letter became the line end that clears it.
  assertEqual(state(), ["\nxgbevfi", CARD, CARD, CARD]);
  sysfs.bindTo("ixgbevf");
  writeFile(`${sysfs.path}/bus/pci/drivers_probe`, "");
  giveBackDriver(CARD, driver, sysfs.path);
  assertEqual(state()[3], "", "a card that has its driver is left alone");
});

test("a card that is gone is given back without an error", () => {
  using sysfs = fakeSysfs();
  giveBackDriver("0000:02:00.0", "ixgbevf", sysfs.path);
  assertEqual(readTextFile(`${sysfs.path}/bus/pci/drivers_probe`), "");
});

test("a card that the host cannot isolate, and a host without vfio-pci, are told apart", async () => {
  using sysfs = fakeSysfs();
  removeTree(`${sysfs.path}/bus/pci/drivers/vfio-pci`);
  await assertThrows(
    () => bindToVfio(CARD, sysfs.path),
    (error) => hasCode(error, "unavailable") && error.hint === "modprobe vfio-pci",
    "no driver",
  );
  rmdirIfExists(`${sysfs.device}/iommu_group`);
  await assertThrows(
    () => driverOfCard(CARD, sysfs.path),
    (error) => hasCode(error, "unavailable") && error.object.includes("IOMMU"),
    "no IOMMU group",
  );
  for (const bad of ["0000:02:00.0", "../x", ""]) {
    await assertThrows(
      () => driverOfCard(bad, sysfs.path),
      (error) => hasCode(error, "not-found"),
      "not-found",
    );
  }
});

runTests();
