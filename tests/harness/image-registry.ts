/**
 * A registry that images are pulled from: what the distribution specification calls pulling, over plain HTTP or TLS, with the faults
 * that a test asks for.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { mustRun } from "./command.ts";

export interface RegistryOptions {
  /** Whether a token has to be asked for. */
  readonly token?: boolean;
  /** Whether it wants a user's password, for every request or for a token: `USER:PASSWORD`. */
  readonly password?: { readonly kind: "basic" | "token"; readonly text: string };
  /** Whether blobs are elsewhere. */
  readonly redirects?: boolean;
  /** Whether bodies come in chunks. */
  readonly chunked?: boolean;
  /** Sent instead of the blob with that digest. */
  readonly forged?: ReadonlyMap<string, Buffer>;
  readonly address?: string;
  /** PEM; without it there is no encryption. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

interface Document {
  readonly bytes: Buffer;
  readonly mediaType: string;
}

export type Compression = "none" | "gzip" | "zstd";
const COMPRESS = {
  none: (tar: Buffer) => tar,
  gzip: (tar: Buffer) => gzipSync(tar),
  zstd: zstdFrame,
} as const;

/** A frame of blocks that are as they are: not every Node compresses. Source: RFC 8878, 3.1.1. */
export function zstdFrame(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38])];
  for (let at = 0; at === 0 || at < bytes.length; at += ZSTD_BLOCK_BYTES) {
    const block = bytes.subarray(at, at + ZSTD_BLOCK_BYTES);
    const header = Buffer.alloc(3);
    header.writeUIntLE((block.length << 3) | (at + ZSTD_BLOCK_BYTES >= bytes.length ? 1 : 0), 0, 3);
    pieces.push(header, block);
  }
  return Buffer.concat(pieces);
}

const ZSTD_BLOCK_BYTES = 128 << 10;
const TOKEN = "a-token-for-anybody";
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

export class ImageRegistry implements AsyncDisposable {
  readonly port: number;
  /** Requests so far, `GET /v2/…`. */
  readonly requests: string[] = [];
  readonly #close: () => Promise<void>;
  readonly #blobs = new Map<string, Buffer>();
  /** By `NAME:TAG` and `NAME@DIGEST`. */
  readonly #manifests = new Map<string, Document>();
  readonly #options: RegistryOptions;

  private constructor(options: RegistryOptions, port: number, close: () => Promise<void>) {
    this.#options = options;
    this.port = port;
    this.#close = close;
  }

  static async start(options: RegistryOptions = {}): Promise<ImageRegistry> {
    let registry: ImageRegistry | undefined;
    const answer = (request: IncomingMessage, response: ServerResponse) =>
      registry?.answer(request, response);
    const server = options.tls === undefined ? createServer(answer) : createTlsServer(options.tls, answer);
    await new Promise<void>((resolve) => server.listen(0, options.address ?? "127.0.0.1", resolve));
    registry = new ImageRegistry(
      options,
      (server.address() as AddressInfo).port,
      () =>
        new Promise((resolve) => {
          server.closeAllConnections();
          server.close(() => resolve());
        }),
    );
    return registry;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  /** Adds an image of these tar archives, the lowest first. @returns its digest. */
  addImage(name: string, layers: readonly Buffer[], compression: Compression = "none"): string {
    const stored = layers.map((tar) => this.addBlob(COMPRESS[compression](tar)));
    const type = `application/vnd.oci.image.layer.v1.tar${compression === "none" ? "" : `+${compression}`}`;
    const config = this.addBlob(
      Buffer.from(
        JSON.stringify({
          architecture: ARCHITECTURE,
          os: "linux",
          config: {},
          rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
        }),
      ),
    );
    return this.addManifest(name, MANIFEST, {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
      layers: stored.map((blob) => ({ mediaType: type, ...blob })),
    });
  }

  /** Adds a manifest or an index as it is. @returns its digest. */
  addManifest(name: string, mediaType: string, manifest: unknown): string {
    const bytes = Buffer.from(JSON.stringify(manifest));
    const digest = digestOf(bytes);
    this.#manifests.set(name, { bytes, mediaType });
    this.#manifests.set(`${name.replace(/:[^:/]*$/, "")}@${digest}`, { bytes, mediaType });
    return digest;
  }

  /** Adds the image of an OCI archive under `name`. */
  async addArchive(name: string, archive: string): Promise<void> {
    const directory = mkdtempSync(join(tmpdir(), "kata-registry-"));
    try {
      await mustRun("tar", ["-C", directory, "-xf", archive]);
      const blobs = join(directory, "blobs/sha256");
      for (const digest of readdirSync(blobs)) {
        this.#blobs.set(`sha256:${digest}`, readFileSync(join(blobs, digest)));
      }
      const { manifests } = JSON.parse(readFileSync(join(directory, "index.json"), "utf8"));
      const bytes = this.#blobs.get(manifests[0].digest);
      if (bytes === undefined) throw new Error(`${archive}: no manifest`);
      this.#manifests.set(name, { bytes, mediaType: MANIFEST });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  /** Adds a blob as it is. */
  addBlob(bytes: Buffer): { digest: string; size: number } {
    const digest = digestOf(bytes);
    this.#blobs.set(digest, bytes);
    return { digest, size: bytes.length };
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "";
    this.requests.push(`${request.method} ${path}`);
    const { password, redirects, forged, tls } = this.#options;
    const token = this.#options.token === true || password?.kind === "token";
    const basic = `Basic ${Buffer.from(password?.text ?? "").toString("base64")}`;
    const { authorization } = request.headers;
    const here = `${tls === undefined ? "http" : "https"}://${request.headers.host}`;
    if (password?.kind === "basic" && authorization !== basic) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="registry"' }).end();
      return;
    }
    if (path.startsWith("/token?")) {
      // Anybody gets one, which is good for nothing without the password.
      if (password !== undefined && authorization !== basic) {
        response.writeHead(authorization === undefined ? 200 : 401);
        response.end(JSON.stringify({ token: "a-token-for-nothing" }));
        return;
      }
      response.end(JSON.stringify({ token: TOKEN }));
      return;
    }
    const [, elsewhere] = /^\/elsewhere\/(.*)$/.exec(path) ?? [];
    if (token && elsewhere === undefined && authorization !== `Bearer ${TOKEN}`) {
      const challenge = `Bearer realm="${here}/token",service="registry",scope="repository:a:pull"`;
      response.writeHead(401, { "www-authenticate": challenge }).end();
      return;
    }
    const [, name, kind, version = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? [];
    if (kind === "blobs" && redirects === true) {
      response.writeHead(307, { location: `/elsewhere/${version}` }).end();
      return;
    }
    const digest = elsewhere ?? (kind === "blobs" ? version : undefined);
    const blob = digest === undefined ? undefined : (forged?.get(digest) ?? this.#blobs.get(digest));
    const manifest =
      kind === "manifests"
        ? this.#manifests.get(`${name}${version.startsWith("sha256:") ? "@" : ":"}${version}`)
        : undefined;
    const bytes = blob ?? manifest?.bytes;
    if (bytes === undefined) {
      response.writeHead(404).end();
      return;
    }
    const length = this.#options.chunked === true ? {} : { "content-length": bytes.length };
    response.writeHead(200, { "content-type": manifest?.mediaType ?? "application/octet-stream", ...length });
    response.end(bytes);
  }
}

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
