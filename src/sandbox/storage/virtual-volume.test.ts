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
    path: "/image",
    filesystem: "erofs",
    readOnly: true,
    options: ["ro"],
  });
  const verity = { hashtype: "sha256", hash: "00" };
  expect(
    virtualVolume(rootfs({ ...DISK, volume_type: "direct_block", options: [], dm_verity: verity })),
  ).toEqual({
    path: "/image",
    filesystem: "erofs",
    readOnly: true,
    options: [],
    verity: JSON.stringify(verity),
  });
  expect(
    virtualVolume(rootfs({ ...DISK, volume_type: "direct_block", options: [], dm_verity: null })),
  ).toMatchObject({
    readOnly: false,
  });
});

test.each<[volumes: unknown[], code: string]>([
  [[{ ...DISK, volume_type: "image_guest_pull" }], "unsupported"],
  [[DISK, DISK], "unsupported"],
  [["x"], "invalid-argument"],
  [[{ ...DISK, source: "image" }], "invalid-argument"],
  [[{ ...DISK, fs_type: "../x" }], "invalid-argument"],
  [[{ ...DISK, options: [1] }], "invalid-argument"],
])("virtualVolume() refuses %j", (volumes, code) => {
  expect(() => virtualVolume(rootfs(...volumes))).toThrow(expect.objectContaining({ code }));
});
