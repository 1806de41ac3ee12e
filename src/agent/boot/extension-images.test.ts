import { describe, expect, test } from "vitest";
import { extensionParameters, parseExtensionImages } from "../../sandbox/hypervisor/extension-images.ts";
import { extensionImages, mountSource } from "./extension-images.ts";

const HASH = "ab".repeat(32);
const VERITY = { rootHash: HASH, salt: "00ff", blocks: 10, blockBytes: 4096, hashBlockBytes: 4096 };
const TEXT = `root_hash=${HASH},salt=00ff,data_blocks=10,data_block_size=4096,hash_block_size=4096`;
const PARAMETER = "kata.extension.coco.verity_params";

describe("extensionImages()", () => {
  test("reads what the host writes on the kernel's command line, and nothing else", () => {
    const words = extensionParameters(
      parseExtensionImages([
        { name: "coco", path: "/c", verity_params: TEXT },
        { name: "gpu", path: "/g" },
      ]),
    );
    const line = `quiet kata.extension.x agent.log=debug ${words.join(" ")} console=ttyS0`;
    expect(extensionImages(line)).toEqual([
      { name: "coco", verity: VERITY },
      { name: "gpu", verity: undefined },
    ]);
  });

  test.each([
    `${PARAMETER} ${PARAMETER}=${TEXT}`,
    `kata.extension.../x.verity_params`,
    `kata.extension..verity_params`,
    `${PARAMETER}=root_hash=${HASH}`,
    `${PARAMETER}=${TEXT.replace(HASH, "ab")}`,
    `${PARAMETER}=${TEXT.replace("00ff", "-")}`,
    `${PARAMETER}=${TEXT.replace("=10", "=0")}`,
    Array.from({ length: 9 }, (_, index) => `kata.extension.n${index}.verity_params`).join(" "),
  ])("refuses %j", (line) => {
    expect(() => extensionImages(line)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });
});

describe("mountSource()", () => {
  const source = (verity: typeof VERITY | undefined, disk: string, ...nodes: string[]) =>
    mountSource({ name: "x", verity }, disk, (node) => nodes.includes(node));

  test("is what the disk has and the command line says", () => {
    expect(source(VERITY, "/dev/vdb", "/dev/vdb1", "/dev/vdb2")).toEqual({
      kind: "checked",
      data: "/dev/vdb1",
      hashes: "/dev/vdb2",
      verity: VERITY,
    });
    expect(source(VERITY, "/dev/nvme0", "/dev/nvme0p2")).toMatchObject({ data: "/dev/nvme0p1" });
    expect(source(undefined, "/dev/vdb", "/dev/vdb1")).toEqual({ kind: "plain", node: "/dev/vdb1" });
    expect(source(undefined, "/dev/vdb")).toEqual({ kind: "plain", node: "/dev/vdb" });
  });

  test("is refused where hashes are not checked, or are not there", () => {
    for (const refused of [
      () => source(undefined, "/dev/vdb", "/dev/vdb1", "/dev/vdb2"),
      () => source(VERITY, "/dev/vdb", "/dev/vdb1"),
    ])
      expect(refused).toThrow(expect.objectContaining({ code: "failed-precondition" }));
  });
});
