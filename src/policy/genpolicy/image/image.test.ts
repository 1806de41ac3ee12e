/** Names of images, layouts, layers and their cache. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { digestOf, type TestImage, tarOf, writeLayout } from "../testing/image-layout.ts";
import { LayersCache, readLayer } from "./layer.ts";
import { OciLayout } from "./oci-layout.ts";
import { normalizedName, parseReference } from "./reference.ts";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;

describe("an image's name", () => {
  test.each([
    ["busybox", "docker.io/library/busybox:latest"],
    ["team/app:1.2", "docker.io/team/app:1.2"],
    ["index.docker.io/library/x", "docker.io/library/x:latest"],
    ["localhost/x", "localhost/x:latest"],
    ["host:5000/a/b_c.d:t", "host:5000/a/b_c.d:t"],
    [`registry.k8s.io/pause:3.6@${DIGEST}`, `registry.k8s.io/pause@${DIGEST}`],
    [`x@${DIGEST}`, `docker.io/library/x@${DIGEST}`],
  ])("%s stands for %s", (name, expected) => {
    expect(normalizedName(parseReference(name))).toBe(expected);
  });

  test.each(["", "UPPER", "a:b:c", "a@sha256:1", "a@x@y", "a//b", "a:-x"])("%j is refused", (name) => {
    expect(() => parseReference(name)).toThrow(expect.objectContaining({ code: "invalid-image-name" }));
  });
});

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "genpolicy-"));
});
afterEach(() => rm(directory, { recursive: true }));

describe("a layout", () => {
  const images: TestImage[] = [
    { name: "example.com/app:1", cmd: ["one"] },
    { name: "example.com/app:2", cmd: ["two"], layers: [{ a: "1" }] },
    { name: "3.6", cmd: ["no name"] },
  ];
  const find = async (name: string) => {
    const found = await (await OciLayout.open(directory)).find(parseReference(name));
    return found && JSON.parse(found.config).config.Cmd;
  };

  test.each([
    ["example.com/app:2", ["two"]],
    [`example.com/app:2@${DIGEST}`, ["two"]],
    [`example.com/app@${DIGEST}`, ["one"]],
    ["example.com/app:3", undefined],
    ["example.com/other:1", undefined],
  ])("has %s by the names in its index", async (name, expected) => {
    await writeLayout(directory, images);
    expect(await find(name)).toEqual(expected);
  });

  test("whose blobs are not what their digests say is refused", async () => {
    await writeLayout(directory, images);
    const index = JSON.parse(await readFile(join(directory, "index.json"), "utf8"));
    await writeFile(join(directory, "blobs/sha256", index.manifests[0].digest.slice(7)), "{}");
    await expect(find("example.com/app:1")).rejects.toMatchObject({ code: "digest-mismatch" });
  });

  test("that is none is refused", async () => {
    await expect(OciLayout.open(directory)).rejects.toMatchObject({ code: "invalid-layout" });
  });
});

describe("a layer", () => {
  const tar = tarOf({ "./etc/passwd": "p", "etc/.wh.group": "" });

  test("tells what it does to the files of users", () => {
    expect(readLayer(gzipSync(tar), digestOf(tar), undefined)).toEqual({
      hashes: {},
      passwd: "p",
      group: null,
    });
  });

  test.each(["tar", "erofs"] as const)("has the same root hash compressed and plain: %s", (format) => {
    const { hashes } = readLayer(tar, digestOf(tar), format);
    expect(hashes[format]).toMatch(/^[0-9a-f]{64}$/);
    expect(readLayer(gzipSync(tar), digestOf(tar), format).hashes).toEqual(hashes);
    const other = tarOf({ "./etc/passwd": "q", "etc/.wh.group": "" });
    expect(readLayer(other, digestOf(other), format).hashes).not.toEqual(hashes);
  });

  test("with another content than its diff id is refused", () => {
    expect(() => readLayer(tar, DIGEST, undefined)).toThrow(
      expect.objectContaining({ code: "digest-mismatch" }),
    );
  });

  test("that cannot be decompressed is refused", () => {
    const cut = gzipSync(tar).subarray(0, 30);
    expect(() => readLayer(cut, DIGEST, undefined)).toThrow(
      expect.objectContaining({ code: "invalid-layer" }),
    );
  });
});

test("what is known of layers lasts in a file", async () => {
  const path = join(directory, "layers-cache.json");
  const facts = { hashes: { tar: "ab" }, passwd: null, group: "g" };
  const cache = await LayersCache.open(path);
  expect(await cache.get(DIGEST, "tar", async () => facts)).toEqual(facts);
  await cache.save();
  const again = await LayersCache.open(path);
  const unread = () => Promise.reject(new Error("read again"));
  expect(await again.get(DIGEST, "tar", unread)).toEqual(facts);
  expect(await again.get(DIGEST, undefined, unread)).toEqual(facts);
  const both = { ...facts, hashes: { tar: "ab", erofs: "cd" } };
  expect(await again.get(DIGEST, "erofs", async () => ({ ...facts, hashes: { erofs: "cd" } }))).toEqual(both);
  await again.save();
  expect(await (await LayersCache.open(path)).get(DIGEST, "erofs", unread)).toEqual(both);
});
