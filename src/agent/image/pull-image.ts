/**
 * Pulling an image: its manifest, each layer in turn, unpacked over the ones below.
 *
 * ```
 * registry ── blob ──▶ file ── kata-pull ──▶ archive ──▶ root
 *                               digests of both are what the manifest and the configuration say
 * ```
 *
 * Everything that a registry says is checked by the digest that named it, from the image's own digest, if its name has one, down.
 * Files are in the guest's memory, so each is gone before the next one is made.
 */
import { sha256, toHex } from "../../crypto/sha256.ts";
import { KataError } from "../../kata-error.ts";
import { type CancelSignal, throwIfCancelled } from "../../sys/cancellation.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { mkdirAll, O_PATH, open, stat, statfs, writeAll } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { mapFile, memfdCreate } from "../../sys/memory.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { connectToOrigin } from "./connect-origin.ts";
import {
  type Descriptor,
  type ImageManifest,
  type Layer,
  MAX_DOCUMENT_BYTES,
  parseDiffIds,
  parseManifest,
} from "./image-manifest.ts";
import { DIGEST, parseImageReference } from "./image-reference.ts";
import { requireAccepted } from "./image-signature.ts";
import type { ImageTrust } from "./image-trust.ts";
import { decompress } from "./pull-program.ts";
import { RegistryClient } from "./registry-client.ts";
import type { TlsContext } from "./tls-stream.ts";
import { unpackLayer } from "./unpack-layer.ts";

export interface PullContext extends TlsContext {
  readonly insecure: ReadonlySet<string>;
  /** What the pod's owner says of images. */
  readonly trust: () => Promise<ImageTrust>;
}

/** A list of images for several machines leads to one image, and not to another list. */
const MAX_INDEXES = 1;

/**
 * Pulls image `name` into `root`, an empty directory.
 *
 * @param signal fires when nobody waits for it any more: its connections are closed then.
 * @throws KataError `not-found`, `permission-denied`, `unavailable`, `invalid-argument`, `malformed-message` for a registry that says
 * something else than was asked for, `resource-exhausted` if the guest has no room.
 */
export async function pullImage(
  name: string,
  root: string,
  context: PullContext,
  signal: CancelSignal,
): Promise<void> {
  const reference = parseImageReference(name);
  // A guest without the program is told before anything is asked for.
  context.program();
  const trust = await context.trust();
  const client = new RegistryClient(reference, {
    insecure: context.insecure,
    password: trust.passwords(reference.registry, reference.repository),
    connect: async (origin) => {
      const stream = await connectToOrigin(origin, context);
      signal.addEventListener("abort", () => stream.close());
      throwIfCancelled(signal);
      return stream;
    },
  });
  const { manifest, digests } = await fetchManifest(client, reference.version);
  await requireAccepted(reference, digests, trust, client, context);
  const configuration = await fetchDocument(client, manifest.config);
  const diffIds = parseDiffIds(configuration);
  if (diffIds.length !== manifest.layers.length) {
    throw mismatch(manifest.config.digest, `${diffIds.length} of ${manifest.layers.length} layers`);
  }
  mkdirAll(root, 0o755);
  checkRoom(manifest, root);
  using directory = open(root, O_PATH);
  for (const [index, layer] of manifest.layers.entries()) {
    await pullLayer(client, layer, diffIds[index] ?? "", directory, index === 0, context);
  }
}

interface FoundManifest {
  readonly manifest: ImageManifest;
  /** Its own, after that of a list that it is in. */
  readonly digests: readonly string[];
}

async function fetchManifest(client: RegistryClient, version: string): Promise<FoundManifest> {
  let wanted = version;
  const digests: string[] = [];
  for (let indexes = 0; ; indexes++) {
    const bytes = await client.manifest(wanted);
    if (DIGEST.test(wanted)) checkDigest(bytes, wanted);
    const document = parseManifest(utf8Decode(bytes), goArchitecture());
    digests.push(digestOf(bytes));
    if (document.kind === "manifest") return { manifest: document.manifest, digests };
    if (indexes >= MAX_INDEXES) throw mismatch(wanted, "an index in an index");
    wanted = document.chosen.digest;
  }
}

async function fetchDocument(client: RegistryClient, { digest, size }: Descriptor): Promise<string> {
  if (size > MAX_DOCUMENT_BYTES) throw mismatch(digest, `a configuration of ${size} bytes`);
  const bytes = new Uint8Array(size);
  let length = 0;
  await client.blob(digest, (piece) => {
    if (length + piece.length > size) throw mismatch(digest, "more bytes than its size says");
    bytes.set(piece, length);
    length += piece.length;
  });
  checkDigest(bytes.subarray(0, length), digest);
  return utf8Decode(bytes);
}

async function pullLayer(
  client: RegistryClient,
  layer: Layer,
  diffId: string,
  root: FileDescriptor,
  isLowest: boolean,
  context: PullContext,
): Promise<void> {
  using tar = memfdCreate("layer");
  {
    using blob = memfdCreate("blob");
    let length = 0;
    await client.blob(layer.digest, (piece) => {
      length += piece.length;
      if (length > layer.size) throw mismatch(layer.digest, "more bytes than its size says");
      writeAll(blob.fd, piece);
    });
    check(kernel().syscall("lseek", blob.fd, 0, 0), "rewind", layer.digest);
    const { compressed, plain } = await decompress(
      context,
      layer.compression,
      blob.fd,
      tar.fd,
      roomOf(`/proc/self/fd/${root.fd}`),
    );
    if (compressed !== layer.digest)
      throw mismatch(layer.digest, `${length} bytes with the digest ${compressed}`);
    if (plain !== diffId) throw mismatch(diffId, `an archive with the digest ${plain}`);
  }
  const size = stat(`/proc/self/fd/${tar.fd}`).size;
  if (size === 0) return;
  using archive = mapFile(tar.fd, size);
  await unpackLayer(tar.fd, new Uint8Array(archive.buffer), root.fd, isLowest);
}

/** Bytes that can still be written below `path`. */
function roomOf(path: string): number {
  const { blockSize, availableBlocks } = statfs(path);
  return availableBlocks * blockSize;
}

/** What is compressed takes more room still; the kernel says when there is none. */
function checkRoom({ layers }: ImageManifest, root: string): void {
  const needed = layers.reduce((sum, { size }) => sum + size, 0);
  const there = roomOf(root);
  if (needed <= there) return;
  throw new KataError("resource-exhausted", {
    operation: "pull image",
    object: `${needed} bytes of layers, and room for ${there}`,
    hint: "the guest keeps images in its memory: raise default_memory, or the pod's limit",
  });
}

function checkDigest(bytes: Uint8Array, wanted: string): void {
  const digest = digestOf(bytes);
  if (digest !== wanted) throw mismatch(wanted, `${bytes.length} bytes with the digest ${digest}`);
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${toHex(sha256(bytes))}`;
}

function mismatch(wanted: string, got: string): KataError {
  return new KataError("malformed-message", {
    operation: "pull image",
    object: wanted,
    hint: `the registry sent ${got}`,
  });
}

function goArchitecture(): string {
  return kernel().architecture === "aarch64" ? "arm64" : "amd64";
}
