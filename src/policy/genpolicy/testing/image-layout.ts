/** OCI layouts for tests. */
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { GUEST_ARCHITECTURE } from "../image/select-manifest.ts";

export interface TestImage {
  readonly name: string;
  readonly user?: string;
  readonly env?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly workingDir?: string;
  readonly volumes?: readonly string[];
  /** Files of each layer by their paths, lowest layer first. */
  readonly layers?: readonly Readonly<Record<string, string>>[];
}

export const PATH_VARIABLE = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The images that the public cases need, made up from what their requests show. */
export const CASE_IMAGES: readonly TestImage[] = [
  pauseImage("registry.k8s.io/pause:3.6"),
  pauseImage("mcr.microsoft.com/oss/kubernetes/pause:3.6"),
  { name: "quay.io/prometheus/busybox:latest", env: [PATH_VARIABLE], cmd: ["sh"], workingDir: "/" },
  {
    name: "ghcr.io/burgerdev/weird-images/gid:latest",
    env: [PATH_VARIABLE],
    entrypoint: ["/entrypoint.sh"],
    workingDir: "/",
  },
];

export function pauseImage(name: string): TestImage {
  return { name, user: "65535:65535", env: [PATH_VARIABLE], entrypoint: ["/pause"], workingDir: "/" };
}

/** Blobs by digest, and descriptors of manifests with their names. */
export interface ImageBlobs {
  readonly blobs: ReadonlyMap<string, Uint8Array>;
  readonly manifests: readonly { readonly name: string; readonly digest: string; readonly size: number }[];
}

export function imageBlobs(images: readonly TestImage[]): ImageBlobs {
  const blobs = new Map<string, Uint8Array>();
  const add = (mediaType: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const manifests = images.map((image) => {
    const tars = (image.layers ?? []).map(tarOf);
    const layers = tars.map((tar) => add("application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(tar)));
    const config = add("application/vnd.oci.image.config.v1+json", json(configOf(image, tars.map(digestOf))));
    const manifest = {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config,
      layers,
    };
    return { name: image.name, ...add(manifest.mediaType, json(manifest)) };
  });
  return { blobs, manifests };
}

function configOf(image: TestImage, diffIds: readonly string[]) {
  return {
    architecture: GUEST_ARCHITECTURE,
    os: "linux",
    config: {
      User: image.user,
      Env: image.env,
      Entrypoint: image.entrypoint,
      Cmd: image.cmd,
      WorkingDir: image.workingDir,
      Volumes: image.volumes && Object.fromEntries(image.volumes.map((path) => [path, {}])),
    },
    rootfs: { type: "layers", diff_ids: diffIds },
  };
}

/** Writes a layout with the images to `directory`. */
export async function writeLayout(directory: string, images: readonly TestImage[]): Promise<void> {
  const { blobs, manifests } = imageBlobs(images);
  await mkdir(join(directory, "blobs", "sha256"), { recursive: true });
  for (const [digest, bytes] of blobs) {
    await writeFile(join(directory, "blobs", "sha256", digest.slice("sha256:".length)), bytes);
  }
  const entries = manifests.map(({ name, ...descriptor }) => ({
    ...descriptor,
    annotations: { "org.opencontainers.image.ref.name": name },
  }));
  await writeFile(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: entries }));
  await writeFile(join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

const BLOCK = 512;

/** A tar archive of plain files. */
export function tarOf(files: Readonly<Record<string, string>>): Uint8Array {
  const parts = Object.entries(files).flatMap(([path, text]) => {
    const content = new TextEncoder().encode(text);
    const padding = new Uint8Array((BLOCK - (content.length % BLOCK)) % BLOCK);
    return [tarHeader({ path, size: content.length }), content, padding];
  });
  return Buffer.concat([...parts, new Uint8Array(2 * BLOCK)]);
}

export interface TestHeader {
  readonly path: string;
  readonly size?: number;
  readonly type?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly link?: string;
  readonly mtime?: number;
  readonly major?: number;
  readonly minor?: number;
}

/** One header. Source: POSIX ustar. */
export function tarHeader(header: TestHeader): Uint8Array {
  const bytes = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number) =>
    bytes.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
  bytes.write(header.path, 0, 100, "utf8");
  octal(header.mode ?? 0o644, 100, 8);
  octal(header.uid ?? 0, 108, 8);
  octal(header.gid ?? 0, 116, 8);
  octal(header.size ?? 0, 124, 12);
  octal(header.mtime ?? 0, 136, 12);
  bytes.write("        ", 148, "latin1");
  bytes.write(header.type ?? "0", 156, "latin1");
  bytes.write(header.link ?? "", 157, 100, "utf8");
  bytes.write("ustar\0" + "00", 257, "latin1");
  octal(header.major ?? 0, 329, 8);
  octal(header.minor ?? 0, 337, 8);
  octal(
    bytes.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return bytes;
}
