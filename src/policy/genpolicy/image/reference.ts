/** Names of images. Source: the grammar of github.com/distribution/reference; defaults as Docker and containerd have them. */
import { KataError } from "../../../kata-error.ts";

export interface ImageReference {
  /** Host and port of the registry. */
  readonly registry: string;
  readonly repository: string;
  readonly tag: string | undefined;
  /** `sha256:…`. */
  readonly digest: string | undefined;
}

const REPOSITORY = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[a-z0-9+._-]+:[0-9a-f]{32,}$/;

/**
 * Reads a name as a pod has it: `busybox`, `host:5000/team/app:1.2@sha256:…`.
 *
 * @throws KataError `invalid-image-name`.
 */
export function parseReference(text: string): ImageReference {
  const invalid = (hint: string) =>
    new KataError("invalid-image-name", { operation: "read image name", object: text, hint });
  const [named = "", digest, more] = text.split("@");
  if (more !== undefined || (digest !== undefined && !DIGEST.test(digest))) throw invalid("wrong digest");
  const colon = named.lastIndexOf(":");
  const hasTag = colon > named.lastIndexOf("/");
  const path = hasTag ? named.slice(0, colon) : named;
  const tag = hasTag ? named.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag)) throw invalid("wrong tag");
  const slash = path.indexOf("/");
  const first = slash < 0 ? "" : path.slice(0, slash);
  const isHost = first === "localhost" || /[.:]/.test(first) || first !== first.toLowerCase();
  const registry = isHost ? first : "docker.io";
  const rest = isHost ? path.slice(slash + 1) : path;
  const repository = registry === "docker.io" && !rest.includes("/") ? `library/${rest}` : rest;
  if (!REPOSITORY.test(repository)) throw invalid("a repository is lower-case words with / between them");
  return {
    registry: registry === "index.docker.io" ? "docker.io" : registry,
    repository,
    tag: tag ?? (digest === undefined ? "latest" : undefined),
    digest,
  };
}

/** The name as the container manager passes it on: complete, and without a tag if there is a digest. */
export function normalizedName({ registry, repository, tag, digest }: ImageReference): string {
  return `${registry}/${repository}${digest === undefined ? `:${tag}` : `@${digest}`}`;
}
