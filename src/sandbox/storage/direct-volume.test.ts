import { describe, expect, test } from "vitest";
import { directVolumeDirectory, parseDirectVolume } from "./direct-volume.ts";

const parse = (value: unknown) => parseDirectVolume(JSON.stringify(value), "the test");
const DISK = { "volume-type": "block", device: "/dev/sdb", fstype: "ext4" };

test("a direct volume is written down below the name that upstream gives it", () => {
  const path = "/var/lib/kubelet/pods/p/volumes/kubernetes.io~csi/pvc-1/mount";
  expect(directVolumeDirectory(path)).toBe(
    `/run/kata-containers/shared/direct-volumes/${Buffer.from(path).toString("base64").replaceAll("+", "-").replaceAll("/", "_")}`,
  );
  for (const bad of ["relative", `/${"x".repeat(191)}`, "/a\0b"]) {
    expect(() => directVolumeDirectory(bad)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  }
});

describe("parseDirectVolume()", () => {
  test("reads upstream's description", () => {
    const metadata = { fsGroup: "1000", fsGroupChangePolicy: "OnRootMismatch", createFilesystem: "true" };
    expect(parse({ ...DISK, metadata, options: ["rw", "discard"] })).toEqual({
      device: "/dev/sdb",
      isServed: false,
      filesystem: "ext4",
      options: ["rw", "discard"],
      group: { gid: 1000, onRootMismatch: true },
      createFilesystem: true,
    });
    expect(parse(DISK)).toMatchObject({ options: [], group: undefined, createFilesystem: false });
    expect(parse({ ...DISK, "volume-type": "spdkvol", device: "/run/s" })).toMatchObject({
      device: "/run/s",
      isServed: true,
    });
  });

  test.each<[value: unknown, code: string]>([
    [[], "invalid-data"],
    [{ ...DISK, "volume-type": "vfiovol" }, "unsupported"],
    [{ ...DISK, "volume-type": "spdkvol", metadata: { createFilesystem: "true" } }, "unsupported"],
    [{ ...DISK, "volume-type": 1 }, "unsupported"],
    [{ ...DISK, device: "sdb" }, "invalid-data"],
    [{ ...DISK, fstype: "../x" }, "invalid-data"],
    [{ ...DISK, options: "ro" }, "invalid-data"],
    [{ ...DISK, options: [1] }, "invalid-data"],
    [{ ...DISK, metadata: [] }, "invalid-data"],
    [{ ...DISK, metadata: { fsGroup: "x" } }, "invalid-data"],
    [{ ...DISK, metadata: { encryptionKey: "k" } }, "unsupported"],
  ])("refuses %j", (value, code) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code }));
  });

  test("refuses what is no JSON", () => {
    expect(() => parseDirectVolume("{", "x")).toThrow(expect.objectContaining({ code: "invalid-data" }));
  });
});
