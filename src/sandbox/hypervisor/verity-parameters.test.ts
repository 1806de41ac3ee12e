import { expect, test } from "vitest";
import { rootParameters } from "./guest-root.ts";
import { parseVerityParameters } from "./verity-parameters.ts";

const HASH = "ab".repeat(32);
const TEXT = `root_hash=${HASH},salt=00ff,data_blocks=10,data_block_size=4096,hash_block_size=512`;

test("kernel_verity_params are read as upstream writes them, and told to the kernel as upstream does", () => {
  const verity = parseVerityParameters(TEXT);
  expect(verity).toEqual({
    rootHash: HASH,
    salt: "00ff",
    dataBlocks: 10,
    dataBlockSize: 4096,
    hashBlockSize: 512,
  });
  expect(rootParameters({ kind: "image", path: "/i", filesystem: "erofs", verity })).toEqual([
    `dm-mod.create="dm-verity,,,ro,0 80 verity 1 /dev/vda1 /dev/vda2 4096 512 10 0 sha256 ${HASH} 00ff"`,
    "root=/dev/dm-0",
    "rootflags=ro",
    "ro",
    "rootfstype=erofs",
  ]);
});

test("an image that is not checked is the first partition, an archive needs no word", () => {
  expect(rootParameters({ kind: "image", path: "/i", filesystem: "ext4" })).toEqual([
    "root=/dev/vda1",
    "rootflags=ro",
    "ro",
    "rootfstype=ext4",
  ]);
  expect(rootParameters({ kind: "initrd", path: "/i" })).toEqual([]);
});

test.each([
  "",
  "root_hash",
  TEXT.replace("root_hash", "roothash"),
  `${TEXT},salt=00`,
  TEXT.replace(HASH, "ab"),
  TEXT.replace("salt=00ff", "salt=0"),
  TEXT.replace("data_blocks=10", "data_blocks=0"),
  TEXT.replace("data_blocks=10,", ""),
  TEXT.replace("data_block_size=4096", "data_block_size=1000"),
  TEXT.replace("hash_block_size=512", "hash_block_size=-512"),
  TEXT.replace("data_blocks=10", 'data_blocks=10" init=/bin/sh "'),
])("refuses %j", (text) => {
  expect(() => parseVerityParameters(text)).toThrow(
    expect.objectContaining({ code: "invalid-configuration" }),
  );
});
