import { describe, expect, test } from "vitest";
import type { Spec } from "../../oci/types.ts";
import { resolveDevices, withGuestNumbers } from "./container-devices.ts";

const spec: Spec = {
  ociVersion: "1.1.0",
  linux: {
    devices: [
      { path: "/dev/disk", type: "b", major: 8, minor: 16, fileMode: 0o600 },
      { path: "/dev/other", type: "b", major: 8, minor: 32 },
      { path: "/dev/same-numbers", type: "c", major: 8, minor: 16 },
    ],
    resources: {
      pids: { limit: 5 },
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "b", major: 8, minor: 16, access: "rw" },
        { allow: true, type: "c", major: 8, minor: 16, access: "r" },
        { allow: true, type: "b", major: 8, minor: 32, access: "r" },
      ],
    },
  },
};

describe("withGuestNumbers()", () => {
  test("changes the device at the path and the rules for its old numbers, and nothing else", () => {
    expect(withGuestNumbers(spec, new Map([["/dev/disk", { major: 254, minor: 3 }]]))).toEqual({
      ...spec,
      linux: {
        devices: [
          { path: "/dev/disk", type: "b", major: 254, minor: 3, fileMode: 0o600 },
          { path: "/dev/other", type: "b", major: 8, minor: 32 },
          { path: "/dev/same-numbers", type: "c", major: 8, minor: 16 },
        ],
        resources: {
          pids: { limit: 5 },
          devices: [
            { allow: false, access: "rwm" },
            { allow: true, type: "b", major: 254, minor: 3, access: "rw" },
            { allow: true, type: "c", major: 8, minor: 16, access: "r" },
            { allow: true, type: "b", major: 8, minor: 32, access: "r" },
          ],
        },
      },
    });
  });

  test("keeps devices apart when the guest gives one the numbers that another has on the host", () => {
    const numbers = new Map([
      ["/dev/disk", { major: 8, minor: 32 }],
      ["/dev/other", { major: 8, minor: 16 }],
    ]);
    expect(withGuestNumbers(spec, numbers).linux?.resources?.devices?.slice(1)).toEqual([
      { allow: true, type: "b", major: 8, minor: 32, access: "rw" },
      { allow: true, type: "c", major: 8, minor: 16, access: "r" },
      { allow: true, type: "b", major: 8, minor: 16, access: "r" },
    ]);
  });

  test("refuses a device that the spec does not have", () => {
    expect(() => withGuestNumbers(spec, new Map([["/dev/none", { major: 1, minor: 1 }]]))).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});

test.each([
  [{ type: "vfio-ap", id: "x", guestPath: "", containerPath: "/dev/vfio/1" }, "unimplemented"],
  [{ type: "vfio-pci", id: "1", guestPath: "", containerPath: "/dev/vfio/1" }, "invalid-argument"],
  [{ type: "blk", id: "zz", guestPath: "", containerPath: "/dev/disk" }, "invalid-argument"],
  [{ type: "mmioblk", id: "", guestPath: "/etc/passwd", containerPath: "/dev/disk" }, "invalid-argument"],
  [{ type: "scsi", id: "1:2:3", guestPath: "", containerPath: "/dev/disk" }, "invalid-argument"],
])("resolveDevices() refuses %j with %s", async (device, code) => {
  await expect(
    (async () => {
      await resolveDevices(spec, [device], 10);
    })(),
  ).rejects.toMatchObject({ code });
});
