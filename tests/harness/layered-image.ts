/**
 * An image of three layers: a busybox, files over it, and what the last one changes and removes of them. As an OCI layout, which genpolicy
 * reads, and as an archive, which containerd imports.
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type TestHeader, tarHeader } from "../../src/policy/genpolicy/testing/image-layout.ts";
import { mustRun } from "./command.ts";
import { type Image, writeBusyboxRoot } from "./images.ts";

export interface LayeredImage extends Image {
  /** Directory of the OCI layout. */
  readonly layout: string;
  /** Digests of the archives of its layers, lowest first. */
  readonly diffIds: readonly string[];
}

/** What a shell in a container of the image says to {@link LAYERS_SCRIPT}. */
export const LAYERS_SCRIPT =
  "cat /data/kept /data/changed /data/link; ls /data/opaque; ls /data/gone 2>&1; stat -c '%a %u:%g' /data/owned; echo new > /data/kept; cat /data/kept";
export const LAYERS_SAY =
  "kept\nsecond\nkept\nafter\nls: /data/gone: No such file or directory\n4750 7:8\nnew\n";

/** Writes the image into `directory`. */
export async function layeredImage(
  directory: string,
  name = "localhost/layered:latest",
): Promise<LayeredImage> {
  const tars = [await busyboxLayer(directory), middleLayer(), topLayer()];
  const layout = join(directory, "layout");
  const blobs = join(layout, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const add = async (mediaType: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    await writeFile(join(blobs, digest.slice("sha256:".length)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (mediaType: string, value: unknown) => add(mediaType, Buffer.from(JSON.stringify(value)));
  const layers = await Promise.all(
    tars.map((tar) => add("application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(tar, { level: 1 }))),
  );
  const diffIds = tars.map(digestOf);
  const platform = { architecture: process.arch === "x64" ? "amd64" : process.arch, os: "linux" };
  const config = await json("application/vnd.oci.image.config.v1+json", {
    ...platform,
    config: { Cmd: ["sh"], Env: ["PATH=/bin"], WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: diffIds },
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config,
    layers,
  };
  const entry = await json(manifest.mediaType, manifest);
  const annotations = { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name };
  const index = { schemaVersion: 2, manifests: [{ ...entry, platform, annotations }] };
  await writeFile(join(layout, "index.json"), JSON.stringify(index));
  await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const archive = join(directory, "layered.tar");
  await mustRun("tar", ["-C", layout, "-cf", archive, "oci-layout", "index.json", "blobs"]);
  return { name, archive, layout, diffIds };
}

async function busyboxLayer(directory: string): Promise<Uint8Array> {
  const work = await mkdtemp(join(directory, "busybox-"));
  try {
    const root = join(work, "root");
    await writeBusyboxRoot(root);
    const stable = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    await mustRun("tar", ["-C", root, ...stable, "-cf", join(work, "layer.tar"), "."]);
    return await readFile(join(work, "layer.tar"));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function middleLayer(): Uint8Array {
  return archive(
    { path: "data/", type: "5", mode: 0o755 },
    ...file("data/kept", "kept\n"),
    ...file("data/changed", "first\n"),
    ...file("data/gone", "gone\n"),
    { path: "data/link", type: "2", link: "kept" },
    { path: "data/opaque/", type: "5", mode: 0o755 },
    ...file("data/opaque/before", "before\n"),
    ...file("data/big", "0123456789abcdef".repeat(16_384)),
  );
}

function topLayer(): Uint8Array {
  return archive(
    ...file("data/changed", "second\n"),
    { path: "data/.wh.gone", mode: 0 },
    { path: "data/opaque/", type: "5", mode: 0o755 },
    { path: "data/opaque/.wh..wh..opq", mode: 0 },
    ...file("data/opaque/after", "after\n"),
    { path: "data/owned", mode: 0o4750, uid: 7, gid: 8 },
  );
}

function file(path: string, text: string): readonly (TestHeader | Uint8Array)[] {
  const content = Buffer.from(text);
  return [{ path, size: content.length }, content, new Uint8Array((512 - (content.length % 512)) % 512)];
}

function archive(...parts: readonly (TestHeader | Uint8Array)[]): Uint8Array {
  return Buffer.concat([
    ...parts.map((part) => (part instanceof Uint8Array ? part : tarHeader(part))),
    new Uint8Array(1024),
  ]);
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
