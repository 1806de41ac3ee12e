import { expect, test } from "vitest";
import type { Spec } from "../../oci/types.ts";
import { takePassedCards, withGuestAddresses, withGuestGroup } from "./passed-cards.ts";

const ADDRESSES = new Map([
  ["0000:81:00.0", "0000:02:00.0"],
  ["0000:81:00.1", "0000:03:00.0"],
]);

test.each([
  ["PCIDEVICE_INTEL_COM_SRIOV=0000:81:00.0", "PCIDEVICE_INTEL_COM_SRIOV=0000:02:00.0"],
  ["PCIDEVICE_X=0000:81:00.1,0000:81:00.0", "PCIDEVICE_X=0000:03:00.0,0000:02:00.0"],
  ["PCIDEVICE_X=0000:99:00.0,0000:81:00.0", "PCIDEVICE_X=0000:99:00.0,0000:02:00.0"],
  ['PCIDEVICE_X_INFO={"0000:81:00.0":{}}', 'PCIDEVICE_X_INFO={"0000:81:00.0":{}}'],
  ["OTHER=0000:81:00.0", "OTHER=0000:81:00.0"],
])("withGuestAddresses() makes %s of it: %s", (variable, expected) => {
  const spec: Spec = {
    ociVersion: "1.1.0",
    process: { cwd: "/", user: { uid: 0, gid: 0 }, env: ["PATH=/bin", variable] },
  };
  expect(withGuestAddresses(spec, ADDRESSES).process?.env).toEqual(["PATH=/bin", expected]);
});

test("withGuestGroup() gives the node the path and numbers of the guest's group", () => {
  const spec: Spec = {
    ociVersion: "1.1.0",
    linux: {
      devices: [
        { type: "c", path: "/dev/vfio/12", major: 240, minor: 3, fileMode: 0o600 },
        { type: "c", path: "/dev/vfio/vfio", major: 10, minor: 196 },
      ],
    },
  };
  const group = { path: "/dev/vfio/4", major: 244, minor: 0 };
  expect(withGuestGroup(spec, "/dev/vfio/12", group).linux?.devices).toEqual([
    { type: "c", path: "/dev/vfio/4", major: 244, minor: 0, fileMode: 0o600 },
    { type: "c", path: "/dev/vfio/vfio", major: 10, minor: 196 },
  ]);
  expect(() => withGuestGroup(spec, "/dev/vfio/9", group)).toThrow(
    expect.objectContaining({ code: "invalid-argument" }),
  );
});

test.each([[[]], [["0000:81:00.0"]], [["81:00=02/00"]], [["0000:81:00.0=../00"]], [["0000:81:00.0=02=00"]]])(
  "takePassedCards() refuses the options %j",
  async (options) => {
    const device = { type: "vfio-pci-gk", id: "1", guestPath: "", containerPath: "/dev/vfio/1", options };
    await expect(takePassedCards(device, 10, () => undefined)).rejects.toMatchObject({
      code: "invalid-argument",
    });
  },
);
