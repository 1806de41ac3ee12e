import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { chainIds, layerId } from "./chain-id.ts";

test("chain ids are those of the image specification", () => {
  const a = `sha256:${"a".repeat(64)}`;
  const b = `sha256:${"b".repeat(64)}`;
  const both = createHash("sha256").update(`${a} ${b}`).digest("hex");
  const three = createHash("sha256").update(`sha256:${both} ${a}`).digest("hex");
  expect(chainIds([a, b, a])).toEqual([a, `sha256:${both}`, `sha256:${three}`]);
});

/** AKS's snapshotter and genpolicy hash the whole text, its `sha256:` too. */
test("a layer is called by the digest of its chain id's text", () => {
  const id = `sha256:${"a".repeat(64)}`;
  expect(layerId(id)).toBe(createHash("sha256").update(id).digest("hex"));
});
