/** What a layer's disk tells of its tree, read from a file as from a disk. */
import { hasCode } from "../../kata-error.ts";
import { removeTree, writeFile } from "../../sys/files.ts";
import { assert, assertEqual, runTests, test } from "../../sys/testing/native-test.ts";
import { layerVerity } from "./layer-verity.ts";

const PATH = "/tmp/kata-layer-verity-test";
const HASH = "ab".repeat(32);

function disk(bytes: number, blockBytes: number, hashBlockBytes: number, blocks: bigint): void {
  const content = new Uint8Array(bytes);
  if (bytes >= 512) {
    const view = new DataView(content.buffer, bytes - 512);
    view.setUint32(0, blockBytes, true);
    view.setUint32(4, hashBlockBytes, true);
    view.setBigUint64(8, blocks, true);
  }
  writeFile(PATH, content, 0o600);
}

test("layerVerity() reads the last sector", () => {
  disk(5 * 4096, 4096, 4096, 3n);
  assertEqual(layerVerity(PATH, HASH), {
    algorithm: "sha256",
    rootHash: HASH,
    salt: "00".repeat(32),
    blocks: 3,
    blockBytes: 4096,
    hashBlockBytes: 4096,
    hashOffset: 3 * 4096,
  });
  removeTree(PATH);
});

const WRONG: readonly (readonly [string, number, number, number, bigint])[] = [
  ["no sector", 511, 4096, 4096, 1n],
  ["no blocks", 8192, 4096, 4096, 0n],
  ["more blocks than bytes", 8192, 4096, 4096, 2n],
  ["blocks beyond all numbers", 8192, 4096, 4096, 0xffff_ffff_ffff_ffffn],
  ["blocks of no size", 8192, 0, 4096, 1n],
  ["blocks of an odd size", 8192, 1000, 4096, 1n],
  ["hashes of an odd size", 8192, 4096, 3, 1n],
];
for (const [what, bytes, blockBytes, hashBlockBytes, blocks] of WRONG) {
  test(`layerVerity() refuses a disk with ${what}`, () => {
    disk(bytes, blockBytes, hashBlockBytes, blocks);
    let error: unknown;
    try {
      layerVerity(PATH, HASH);
    } catch (caught) {
      error = caught;
    }
    removeTree(PATH);
    assert(hasCode(error, "invalid-layer"), String(error));
  });
}

runTests();
