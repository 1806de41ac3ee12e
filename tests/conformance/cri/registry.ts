/**
 * Debian's registry of images on a port of the loopback device, filled with the test images.
 *
 * Source: OCI distribution specification, "Push"; OCI image specification, "Image Manifest".
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type LiveCommand, startCommand } from "../../harness/command.ts";
import { eventually } from "../../harness/eventually.ts";
import { parseReference, type TestImage } from "./image-table.ts";
import { recipeKey, writeLayer } from "./make-roots.ts";
import { unpackedPackages } from "./packages.ts";

const CACHE = join(import.meta.dirname, "../../../build/cache/cri");
const LAYERS = join(CACHE, "layers");
const STORE = join(CACHE, "registry");

/** Where it listens is in its environment. */
const CONFIGURATION = `version: 0.1
log: { level: warn }
storage: { filesystem: { rootdirectory: ${JSON.stringify(STORE)} } }
`;

const START_DEADLINE_MS = 30_000;
const LAYER = "application/vnd.oci.image.layer.v1.tar";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

/** Images of ours do not depend on when they are made. */
const CREATED = "1970-01-01T00:00:00Z";

const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

interface Blob {
  readonly bytes: Uint8Array;
  readonly digest: string;
}

/** A registry that runs. The end of its scope ends it, and so does the end of this process; its store stays in the cache. */
export class Registry implements AsyncDisposable {
  readonly url: string;
  readonly #live: LiveCommand;

  private constructor(url: string, live: LiveCommand) {
    this.url = url;
    this.#live = live;
  }

  /** @param port of 127.0.0.1 that nobody uses. */
  static async start(suite: string, port: number): Promise<Registry> {
    const files = await unpackedPackages(suite, ["docker-registry"]);
    await mkdir(STORE, { recursive: true });
    const config = join(CACHE, "registry.yml");
    await writeFile(config, CONFIGURATION);
    const serve = [join(files, "usr/bin/docker-registry"), "serve", config];
    const live = startCommand("setpriv", ["--pdeathsig", "KILL", "--", ...serve], {
      env: { ...process.env, REGISTRY_HTTP_ADDR: `127.0.0.1:${port}` },
    });
    const registry = new Registry(`http://127.0.0.1:${port}`, live);
    try {
      await eventually(
        "the registry answers",
        START_DEADLINE_MS,
        () => registry.#answers(),
        () => live.stderr,
      );
      return registry;
    } catch (error) {
      await live[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Makes the image's layer unless the cache has it, and pushes the image. */
  async push(suite: string, image: TestImage): Promise<void> {
    const { repository, tag } = parseReference(image.reference);
    const layer = blob(await readFile(await cachedLayer(suite, image)));
    const config = blob({
      created: CREATED,
      architecture: ARCHITECTURE,
      os: "linux",
      config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], ...image.config },
      rootfs: { type: "layers", diff_ids: [layer.digest] },
      history: [{ created: CREATED, created_by: "Debian's packages" }],
    });
    const manifest = blob({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: CONFIG, digest: config.digest, size: config.bytes.length },
      layers: [{ mediaType: LAYER, digest: layer.digest, size: layer.bytes.length }],
    });
    await this.#pushBlob(repository, layer);
    await this.#pushBlob(repository, config);
    await this.#request("PUT", `/v2/${repository}/manifests/${tag}`, 201, manifest.bytes, MANIFEST);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#live[Symbol.asyncDispose]();
  }

  async #answers(): Promise<true | undefined> {
    if (!this.#live.running) throw new Error(`the registry ended\n${this.#live.stderr}`);
    // Refused until it listens.
    const answer = await fetch(`${this.url}/v2/`).catch(() => undefined);
    return answer?.ok || undefined;
  }

  async #pushBlob(repository: string, { bytes, digest }: Blob): Promise<void> {
    const begun = await this.#request("POST", `/v2/${repository}/blobs/uploads/`, 202);
    const place = new URL(begun.headers.get("location") ?? "", this.url);
    place.searchParams.set("digest", digest);
    await this.#request("PUT", `${place.pathname}${place.search}`, 201, bytes, "application/octet-stream");
  }

  async #request(
    method: string,
    path: string,
    status: number,
    body?: Uint8Array,
    type?: string,
  ): Promise<Response> {
    const headers: Record<string, string> = type === undefined ? {} : { "content-type": type };
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
    });
    if (answer.status === status) return answer;
    throw new Error(`${method} ${path}: status ${answer.status}, not ${status}: ${await answer.text()}`);
  }
}

function blob(content: Uint8Array | object): Blob {
  const bytes = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content));
  return { bytes, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` };
}

async function cachedLayer(suite: string, image: TestImage): Promise<string> {
  const { repository, tag } = parseReference(image.reference);
  const name = `${repository.replaceAll("/", "-")}-${tag}-${recipeKey(suite, image)}.tar`;
  const path = join(LAYERS, name);
  if (existsSync(path)) return path;
  await mkdir(LAYERS, { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  try {
    await writeLayer(suite, image, unfinished);
    await rename(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
  return path;
}
