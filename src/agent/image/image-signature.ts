/**
 * Signatures of images: `sha256-HEX.sig` beside the image has a layer for each, a text that names the image's digest, and its signature in
 * an annotation.
 * Sources: cosign, "SIGNATURE_SPEC"; containers/image, "simple signing" (the text).
 */
import { decodeBase64 } from "../../crypto/base64.ts";
import { sha256, toHex } from "../../crypto/sha256.ts";
import { KataError } from "../../kata-error.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import type { ImageRequirement, SignedIdentity } from "./image-policy.ts";
import type { ImageReference } from "./image-reference.ts";
import type { ImageTrust } from "./image-trust.ts";
import { isSigned, type PullProgramContext } from "./pull-program.ts";
import type { RegistryClient } from "./registry-client.ts";

const ANNOTATION = "dev.cosignproject.cosign/signature";
/** Signatures of one image that are looked at. */
const MAX_SIGNATURES = 32;
const MAX_PAYLOAD_BYTES = 64 << 10;

interface Signature {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

type Tree = Readonly<Record<string, unknown>>;

/**
 * Asks the owner's policy about an image.
 *
 * @param digests of what the name stands for, and of the one for this machine if that is a list.
 * @throws KataError `permission-denied` that says why it is refused.
 */
export async function requireAccepted(
  reference: ImageReference,
  digests: readonly string[],
  { policy, read }: ImageTrust,
  client: RegistryClient,
  context: PullProgramContext,
): Promise<void> {
  if (policy === undefined) return;
  const name = nameOf(reference);
  const refuse = (why: string) =>
    new KataError("permission-denied", {
      operation: "accept image",
      object: `${name} ${digests[0]}`,
      hint: `the policy of images ${why}`,
    });
  let signatures: readonly Signature[] | undefined;
  for (const requirement of policy(name, versionOf(reference))) {
    switch (requirement.kind) {
      case "accept":
        break;
      case "reject":
        throw refuse("rejects it");
      case "signed": {
        signatures ??= await fetchSignatures(client, digests);
        if (!(await anySigns(signatures, requirement, reference, digests, read, context))) {
          throw refuse(
            `wants a signature, and none of ${signatures.length} is one by its key for this image`,
          );
        }
      }
    }
  }
}

async function anySigns(
  signatures: readonly Signature[],
  { key, identity }: Extract<ImageRequirement, { kind: "signed" }>,
  reference: ImageReference,
  digests: readonly string[],
  read: ImageTrust["read"],
  context: PullProgramContext,
): Promise<boolean> {
  const pem = utf8Encode(await read(key));
  for (const { payload, signature } of signatures) {
    // Nothing of the text is believed before its signature is.
    if (
      (await isSigned(context, pem, payload, signature)) &&
      isAbout(payload, identity, reference, digests)
    ) {
      return true;
    }
  }
  return false;
}

async function fetchSignatures(client: RegistryClient, digests: readonly string[]): Promise<Signature[]> {
  const found: Signature[] = [];
  for (const digest of digests) {
    const layers = await signatureLayers(client, digest.replace(":", "-"));
    for (const layer of layers.slice(0, MAX_SIGNATURES)) {
      const { digest: of, annotations } = tree(layer);
      const encoded = tree(annotations)[ANNOTATION];
      const signature = typeof encoded === "string" ? decodeBase64(encoded, false, "required") : undefined;
      if (typeof of !== "string" || signature === undefined) continue;
      const payload = await fetchPayload(client, of);
      if (payload !== undefined) found.push({ payload, signature });
    }
  }
  return found;
}

async function signatureLayers(client: RegistryClient, tag: string): Promise<readonly unknown[]> {
  let bytes: Uint8Array;
  try {
    bytes = await client.manifest(`${tag}.sig`);
  } catch (error) {
    if (error instanceof KataError && error.code === "not-found") return [];
    throw error;
  }
  const { layers } = tree(json(bytes));
  return Array.isArray(layers) ? layers : [];
}

async function fetchPayload(client: RegistryClient, digest: string): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(MAX_PAYLOAD_BYTES);
  let length = 0;
  await client.blob(digest, (piece) => {
    if (length + piece.length > bytes.length) {
      throw new KataError("out-of-range", { operation: "read signature", object: digest });
    }
    bytes.set(piece, length);
    length += piece.length;
  });
  const payload = bytes.slice(0, length);
  return `sha256:${toHex(sha256(payload))}` === digest ? payload : undefined;
}

function isAbout(
  payload: Uint8Array,
  identity: SignedIdentity,
  reference: ImageReference,
  digests: readonly string[],
): boolean {
  const { image, identity: signed } = tree(tree(json(payload)).critical);
  const digest = tree(image)["docker-manifest-digest"];
  const name = tree(signed)["docker-reference"];
  if (typeof digest !== "string" || !digests.includes(digest) || typeof name !== "string") return false;
  const [, repository = "", tag] = /^([^@]*?)(?::([^:/@]+))?(?:@.*)?$/.exec(name) ?? [];
  switch (identity.kind) {
    case "image":
      // cosign signs repositories; a tag that is there has to be the image's.
      return (
        repository === nameOf(reference) &&
        (tag === undefined || reference.tag === undefined || tag === reference.tag)
      );
    case "repository":
      return repository === nameOf(reference);
    case "exact":
      return name === identity.reference;
    case "exact-repository":
      return repository === identity.repository;
  }
}

/** As policies and signatures write it. */
function nameOf({ registry, repository }: ImageReference): string {
  return `${registry === "registry-1.docker.io" ? "docker.io" : registry}/${repository}`;
}

function versionOf({ tag, version }: ImageReference): string {
  return tag === undefined ? `@${version}` : `:${tag}`;
}

function json(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8Decode(bytes));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

/** What is no object has no fields. */
function tree(value: unknown): Tree {
  return typeof value === "object" && value !== null ? (value as Tree) : {};
}
