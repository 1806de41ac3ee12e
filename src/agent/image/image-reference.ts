/**
 * The name of an image, as people and container managers write it: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`.
 * Source: distribution's reference grammar; Docker's defaults for what is left out.
 */
import { KataError } from "../../kata-error.ts";

export interface ImageReference {
  /** Host with its port, if it has one. */
  readonly registry: string;
  readonly repository: string;
  /** A digest, which says more, or a tag. */
  readonly version: string;
  /** The tag, if it says one, or no digest. */
  readonly tag: string | undefined;
}

const DOCKER = "docker.io";
/** Where Docker's registry really is. */
const DOCKER_REGISTRY = "registry-1.docker.io";
const MAX_LENGTH = 1024;
const HOST = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:\d{1,5})?$/;
const REPOSITORY = /^[a-z0-9]+([._-]+[a-z0-9]+)*(\/[a-z0-9]+([._-]+[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;

/** Digests of the one kind that images have. */
export const DIGEST: RegExp = /^sha256:[0-9a-f]{64}$/;

/** @throws KataError `invalid-argument` for what names no image. */
export function parseImageReference(name: string): ImageReference {
  const [rest = "", digest, ...more] = name.length > MAX_LENGTH ? [] : name.split("@");
  const slash = rest.indexOf("/");
  const first = rest.slice(0, Math.max(slash, 0));
  // Only a host has a dot or a port, or is this one.
  const isHost = first.includes(".") || first.includes(":") || first === "localhost";
  const host = isHost ? first : DOCKER;
  const path = isHost ? rest.slice(slash + 1) : rest;
  const colon = path.lastIndexOf(":");
  const tag = colon < 0 ? "latest" : path.slice(colon + 1);
  const named = colon < 0 ? path : path.slice(0, colon);
  const repository = host === DOCKER && !named.includes("/") ? `library/${named}` : named;
  const isRight =
    more.length === 0 &&
    HOST.test(host) &&
    REPOSITORY.test(repository) &&
    TAG.test(tag) &&
    (digest === undefined || DIGEST.test(digest));
  if (!isRight) {
    throw new KataError("invalid-argument", {
      operation: "read image name",
      object: JSON.stringify(name.slice(0, 200)),
      hint: "it is [REGISTRY/]REPOSITORY[:TAG][@sha256:DIGEST]",
    });
  }
  return {
    registry: host === DOCKER ? DOCKER_REGISTRY : host,
    repository,
    version: digest ?? tag,
    tag: digest !== undefined && colon < 0 ? undefined : tag,
  };
}
