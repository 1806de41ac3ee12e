import { expect, test } from "vitest";
import { virtualVolume } from "./virtual-volume.ts";

const DISK = { volume_type: "image_raw_block", source: "/image", fs_type: "erofs", options: ["ro"] };
const rootfs = (...volumes: unknown[]) => [
  {
    type: "overlay",
    source: "overlay",
    target: "",
    options: [
      "lowerdir=/a",
      ...volumes.map(
        (volume) => `io.katacontainers.volume=${Buffer.from(JSON.stringify(volume)).toString("base64")}`,
      ),
    ],
  },
];

test("virtualVolume() reads a disk with the hashes that it is checked by", () => {
  expect(virtualVolume(rootfs())).toBeUndefined();
  expect(virtualVolume(rootfs(DISK))).toEqual({
    kind: "disk",
    disk: { path: "/image", filesystem: "erofs", readOnly: true, options: ["ro"] },
  });
  const verity = { hashtype: "sha256", hash: "00" };
  expect(
    virtualVolume(rootfs({ ...DISK, volume_type: "direct_block", options: [], dm_verity: verity })),
  ).toEqual({
    kind: "disk",
    disk: {
      path: "/image",
      filesystem: "erofs",
      readOnly: true,
      options: [],
      verity: JSON.stringify(verity),
    },
  });
  expect(
    virtualVolume(rootfs({ ...DISK, volume_type: "direct_block", options: [], dm_verity: null })),
  ).toMatchObject({ disk: { readOnly: false } });
});

test("virtualVolume() reads an image that the guest pulls, whether it is named or not", () => {
  const pull = { volume_type: "image_guest_pull", source: "registry/app:1", fs_type: "overlay" };
  expect(virtualVolume(rootfs(pull))).toEqual({ kind: "guest-pull", image: "registry/app:1" });
  expect(virtualVolume(rootfs({ volume_type: "image_guest_pull" }))).toEqual({
    kind: "guest-pull",
    image: "",
  });
});

test.each<[volumes: unknown[], code: string]>([
  [[{ ...DISK, volume_type: "layer_nydus_fs" }], "unsupported"],
  [[{ volume_type: "image_guest_pull" }, DISK], "unsupported"],
  [[{ volume_type: "image_guest_pull", source: 7 }], "invalid-argument"],
  [[DISK, DISK], "unsupported"],
  [["x"], "invalid-argument"],
  [[{ ...DISK, source: "image" }], "invalid-argument"],
  [[{ ...DISK, fs_type: "../x" }], "invalid-argument"],
  [[{ ...DISK, options: [1] }], "invalid-argument"],
])("virtualVolume() refuses %j", (volumes, code) => {
  expect(() => virtualVolume(rootfs(...volumes))).toThrow(expect.objectContaining({ code }));
});
