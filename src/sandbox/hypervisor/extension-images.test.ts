import { expect, test } from "vitest";
import { extensionParameters, extensionSerial, parseExtensionImages } from "./extension-images.ts";

const HASH = "ab".repeat(32);
const VERITY = `root_hash=${HASH},salt=00ff,data_blocks=10,data_block_size=4096,hash_block_size=4096`;

test("images are read with their hashes, told to the kernel, and known by their serial numbers", () => {
  const images = parseExtensionImages([
    { name: "coco", path: "/coco.img", verity_params: VERITY.replaceAll(",", ", ") },
    { name: "gpu", path: "/gpu.img" },
  ]);
  expect(images).toEqual([
    { name: "coco", path: "/coco.img", verityParameters: VERITY },
    { name: "gpu", path: "/gpu.img", verityParameters: "" },
  ]);
  expect(extensionParameters(images)).toEqual([
    `kata.extension.coco.verity_params=${VERITY}`,
    "kata.extension.gpu.verity_params",
  ]);
  expect(images.map(extensionSerial)).toEqual(["extension-coco", "extension-gpu"]);
});

test.each([
  [[{ path: "/x" }], "0.name"],
  [[{ name: "elevenchars", path: "/x" }], "0.name"],
  [[{ name: "a b", path: "/x" }], "0.name"],
  [[{ name: "a", path: "x" }], "0.path"],
  [[{ name: "a", path: "/x/../y" }], "0.path"],
  [[{ name: "a", path: "/x", root: "/" }], "0.root"],
  [
    [
      { name: "a", path: "/x" },
      { name: "a", path: "/y" },
    ],
    "1.name",
  ],
  [Array.from({ length: 9 }, (_, index) => ({ name: `n${index}`, path: "/x" })), "9 images"],
  [[{ name: "a", path: "/x", verity_params: `root_hash=${HASH}` }], "data_blocks"],
])("parseExtensionImages() refuses %j and names %s", (entries, named) => {
  expect(() => parseExtensionImages(entries)).toThrow(
    expect.objectContaining({ code: "invalid-configuration", object: expect.stringContaining(named) }),
  );
});
