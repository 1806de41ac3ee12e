/**
 * An OCI image archive of one layer, as `ctr images import` takes it, from a tar file with a root file system.
 * Source: OCI image specification, "Image Layout" and "Image Manifest".
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { mustRun } from "./command.ts";

export interface ImageDescription {
  /** Full reference, such as `localhost/busybox:latest`. */
  readonly name: string;
  readonly command: readonly string[];
  readonly env: readonly string[];
  /** `UID:GID`; root if there is none. */
  readonly user?: string;
  /** Who made it, shown in its history. */
  readonly createdBy: string;
}

interface Blob {
  readonly digest: string;
  readonly size: number;
}

/** Debian's word for the processor is also Go's, which image platforms use. */
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

/** Images of ours do not depend on when they are made. */
const CREATED = "1970-01-01T00:00:00Z";

/** Moves the tar file `layer` into a new image archive `output`. */
export async function writeOciArchive(output: string, layer: string, image: ImageDescription): Promise<void> {
  const directory = await mkdtemp(join(dirname(output), `.${basename(output)}-`));
  try {
    const blobs = join(directory, "blobs/sha256");
    await mkdir(blobs, { recursive: true });
    const layerBlob: Blob = { digest: await sha256File(layer), size: (await stat(layer)).size };
    await rename(layer, join(blobs, layerBlob.digest));
    const json = async (value: unknown): Promise<Blob> => {
      const text = JSON.stringify(value);
      const digest = createHash("sha256").update(text).digest("hex");
      await writeFile(join(blobs, digest), text);
      return { digest, size: Buffer.byteLength(text) };
    };
    const platform = { architecture: ARCHITECTURE, os: "linux" };
    const config = await json({
      created: CREATED,
      ...platform,
      config: { User: image.user, Cmd: image.command, Env: image.env, WorkingDir: "/" },
      rootfs: { type: "layers", diff_ids: [`sha256:${layerBlob.digest}`] },
      history: [{ created: CREATED, created_by: image.createdBy }],
    });
    const manifest = await json({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: descriptor("application/vnd.oci.image.config.v1+json", config),
      layers: [descriptor("application/vnd.oci.image.layer.v1.tar", layerBlob)],
    });
    const index = {
      schemaVersion: 2,
      manifests: [
        {
          ...descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
          platform,
          annotations: { "io.containerd.image.name": image.name },
        },
      ],
    };
    await writeFile(join(directory, "index.json"), JSON.stringify(index));
    await writeFile(join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    const unfinished = `${output}.${process.pid}`;
    await mustRun("tar", ["-C", directory, "-cf", unfinished, "oci-layout", "index.json", "blobs"]);
    await rename(unfinished, output);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function descriptor(mediaType: string, { digest, size }: Blob) {
  return { mediaType, digest: `sha256:${digest}`, size };
}

async function sha256File(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
