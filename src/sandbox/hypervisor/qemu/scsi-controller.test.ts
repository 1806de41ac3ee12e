import { expect, test } from "vitest";
import { NO_OPTIONS } from "../machine-options.ts";
import { ScsiUnits, scsiAddress, scsiArguments, scsiDiskProperties } from "./scsi-controller.ts";

test("a controller is there only if disks are behind one, with a thread of its own if it is to have one", () => {
  expect(scsiArguments(undefined, "virtio-scsi-pci")).toEqual([]);
  expect(scsiArguments(NO_OPTIONS, "virtio-scsi-pci")).toEqual([]);
  const options = { ...NO_OPTIONS, diskBus: "virtio-scsi" } as const;
  expect(scsiArguments(options, "virtio-scsi-device")).toEqual(["-device", "virtio-scsi-device,id=scsi0"]);
  expect(scsiArguments({ ...options, scsiThread: true }, "virtio-scsi-pci")).toEqual([
    "-object",
    "iothread,id=scsi-io0",
    "-device",
    "virtio-scsi-pci,id=scsi0,iothread=scsi-io0",
  ]);
});

test.each([
  [0, "0:0"],
  [255, "0:255"],
  [256, "1:0"],
  [65_535, "255:255"],
])("disk %i has address %s", (number, address) => {
  expect(scsiAddress(number)).toBe(address);
});

test("a number that is given back is the next to be taken", () => {
  const units = new ScsiUnits();
  expect([units.take("a"), units.take("b"), units.take("c")]).toEqual([0, 1, 2]);
  units.giveBack(1);
  expect([units.take("d"), units.take("e")]).toEqual([1, 3]);
});

test("a disk says its sectors only if they are set", () => {
  const disk = { kind: "disk", id: "d", path: "/d", readOnly: false } as const;
  const bare = { driver: "scsi-hd", bus: "scsi0.0", channel: 0, "scsi-id": 1, lun: 2, drive: "d-node" };
  expect(scsiDiskProperties(disk, 258)).toEqual(bare);
  const tuning = {
    io: "threads",
    direct: false,
    noFlush: false,
    logicalSectorBytes: 512,
    physicalSectorBytes: 4096,
    queues: 1,
    queueSize: 128,
    threads: 1,
  } as const;
  expect(scsiDiskProperties({ ...disk, tuning }, 258)).toEqual({
    ...bare,
    logical_block_size: 512,
    physical_block_size: 4096,
  });
});
