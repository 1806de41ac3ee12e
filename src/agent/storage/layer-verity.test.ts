import { expect, test } from "vitest";
import { layerRootHash } from "./layer-verity.ts";

const OPTION = "io.katacontainers.fs-opt.root-hash=";

test("layerRootHash() finds the one hash of a layer", () => {
  expect(layerRootHash(["ro", `${OPTION}${"ab".repeat(32)}`])).toBe("ab".repeat(32));
  expect(layerRootHash(["ro"])).toBeUndefined();
});

test.each([
  [["ab"]],
  [["AB".repeat(32)]],
  [["ab".repeat(32), "cd".repeat(32)]],
  [[`${"ab".repeat(32)} 1 ignore_corruption`]],
  [[""]],
])("layerRootHash() refuses %j", (hashes) => {
  expect(() => layerRootHash(hashes.map((hash) => `${OPTION}${hash}`))).toThrow(
    expect.objectContaining({ code: "invalid-argument" }),
  );
});
