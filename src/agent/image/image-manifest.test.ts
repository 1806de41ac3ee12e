import { expect, test } from "vitest";
import { parseDiffIds, parseManifest } from "./image-manifest.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const OTHER = `sha256:${"b".repeat(64)}`;
const CONFIG = { mediaType: "application/vnd.oci.image.config.v1+json", digest: DIGEST, size: 7 };
const LAYER = {
  mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  digest: OTHER,
  size: 5_000_000_000,
};
const MANIFEST = { schemaVersion: 2, config: CONFIG, layers: [LAYER] };

test("parseManifest() reads an image, of OCI's types and of Docker's", () => {
  expect(parseManifest(JSON.stringify(MANIFEST), "amd64")).toEqual({
    kind: "manifest",
    manifest: { config: CONFIG, layers: [{ ...LAYER, compression: "gzip" }] },
  });
  const docker = { ...LAYER, mediaType: "application/vnd.docker.image.rootfs.diff.tar" };
  expect(parseManifest(JSON.stringify({ ...MANIFEST, layers: [docker] }), "amd64")).toMatchObject({
    manifest: { layers: [{ compression: "none" }] },
  });
});

test("parseManifest() chooses the image for this machine from a list", () => {
  const entry = (architecture: string, digest: string, os = "linux") => ({
    mediaType: "m",
    digest,
    size: 1,
    platform: { architecture, os },
  });
  const index = { schemaVersion: 2, manifests: [entry("amd64", OTHER, "windows"), entry("arm64", DIGEST)] };
  expect(parseManifest(JSON.stringify(index), "arm64")).toEqual({
    kind: "index",
    chosen: { mediaType: "m", digest: DIGEST, size: 1 },
  });
  expect(() => parseManifest(JSON.stringify(index), "amd64")).toThrow(
    expect.objectContaining({ code: "not-found" }),
  );
});

test.each<[what: string, text: string, code: string]>([
  ["no JSON", "<html>", "malformed-message"],
  ["a list", "[]", "malformed-message"],
  ["another version", JSON.stringify({ ...MANIFEST, schemaVersion: 1 }), "malformed-message"],
  ["too many layers", JSON.stringify({ ...MANIFEST, layers: Array(501).fill(LAYER) }), "malformed-message"],
  [
    "another kind of digest",
    JSON.stringify({ ...MANIFEST, config: { ...CONFIG, digest: "md5:00" } }),
    "malformed-message",
  ],
  [
    "a size below zero",
    JSON.stringify({ ...MANIFEST, layers: [{ ...LAYER, size: -1 }] }),
    "malformed-message",
  ],
  [
    "a size that no guest has room for",
    JSON.stringify({ ...MANIFEST, layers: [{ ...LAYER, size: 2 ** 41 }] }),
    "malformed-message",
  ],
  [
    "an unknown compression",
    JSON.stringify({ ...MANIFEST, layers: [{ ...LAYER, mediaType: `${LAYER.mediaType}x` }] }),
    "unsupported",
  ],
  [
    "a property of all objects",
    '{"schemaVersion":2,"layers":[{"mediaType":"toString"}]}',
    "malformed-message",
  ],
])("parseManifest() refuses %s", (_what, text, code) => {
  expect(() => parseManifest(text, "amd64")).toThrow(expect.objectContaining({ code }));
});

test("parseDiffIds() reads the digests of unpacked layers, and refuses what is none", () => {
  expect(parseDiffIds(JSON.stringify({ rootfs: { diff_ids: [DIGEST, OTHER] } }))).toEqual([DIGEST, OTHER]);
  for (const wrong of ["{}", '{"rootfs":{"diff_ids":["x"]}}', '{"rootfs":{"diff_ids":"x"}}']) {
    expect(() => parseDiffIds(wrong)).toThrow(expect.objectContaining({ code: "malformed-message" }));
  }
});
