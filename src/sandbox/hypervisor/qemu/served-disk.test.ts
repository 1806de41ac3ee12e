import { expect, test } from "vitest";
import { lastingBackend, servedDiskProperties } from "./served-disk.ts";

const DISK = { kind: "served-disk", id: "disk3", socket: "/store/s", reconnectSeconds: 5 } as const;

test.each([
  ["7.2.22", { reconnect: 5 }],
  ["9.1.3", { reconnect: 5 }],
  ["9.2.0", { "reconnect-ms": 5000 }],
  ["10.0.2", { "reconnect-ms": 5000 }],
])("QEMU %s is told of the time between two tries in its own words", (version, expected) => {
  expect(lastingBackend(DISK, version)).toEqual({
    type: "socket",
    data: { addr: { type: "unix", data: { path: "/store/s" } }, server: false, ...expected },
  });
});

test("the guest's device has the queues of the configuration, and no size of its own", () => {
  const tuning = {
    io: "threads",
    direct: false,
    noFlush: false,
    logicalSectorBytes: 512,
    physicalSectorBytes: 4096,
    queues: 2,
    queueSize: 256,
    threads: 0,
  } as const;
  expect(servedDiskProperties({ ...DISK, tuning }, "disk3-socket")).toEqual({
    chardev: "disk3-socket",
    "num-queues": 2,
    "queue-size": 256,
    "disable-legacy": "on",
  });
});
