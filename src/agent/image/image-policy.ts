/**
 * Which images are accepted, and what their signatures have to be.
 * Source: containers-policy.json(5) (scopes, requirements, identities), as far as the guest components know it.
 */
import { decodeBase64 } from "../../crypto/base64.ts";
import { KataError } from "../../kata-error.ts";
import { utf8Decode } from "../../sys/utf8.ts";

/** A name that a signature has to be for. */
export type SignedIdentity =
  | { readonly kind: "image" }
  | { readonly kind: "repository" }
  | { readonly kind: "exact"; readonly reference: string }
  | { readonly kind: "exact-repository"; readonly repository: string };

export type ImageRequirement =
  | { readonly kind: "accept" }
  | { readonly kind: "reject" }
  | { readonly kind: "signed"; readonly key: string; readonly identity: SignedIdentity };

/** What is asked of an image, all of it. @param name `REGISTRY/REPOSITORY`. @param version `:TAG` or `@DIGEST`. */
export type ImagePolicy = (name: string, version: string) => readonly ImageRequirement[];

const MAX_REQUIREMENTS = 64;

type Tree = Readonly<Record<string, unknown>>;

/** @throws KataError `invalid-argument` for what it does not know: an image must not pass by that. */
export function parseImagePolicy(text: string): ImagePolicy {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw malformed("no JSON");
  }
  const { default: fallback, transports = {}, ...others } = tree(document, "the policy");
  if (Object.keys(others).length > 0) throw malformed(`field ${Object.keys(others)[0]}`);
  const scopes = new Map(
    Object.entries(tree(tree(transports, "transports").docker ?? {}, "transports.docker")).map(
      ([scope, list]) => [scope, requirements(list, `transports.docker.${scope}`)],
    ),
  );
  const rest = requirements(fallback, "default");
  return (name, version) => {
    for (const scope of scopesOf(name, version)) {
      const found = scopes.get(scope);
      if (found !== undefined) return found;
    }
    return rest;
  };
}

/** From the narrowest: the image, its repository, the name spaces above that, its registry, the domains above that, all. */
function scopesOf(name: string, version: string): string[] {
  const scopes = [`${name}${version}`];
  const path = name.split("/");
  for (let length = path.length; length > 0; length--) scopes.push(path.slice(0, length).join("/"));
  const [registry = ""] = path;
  const labels = registry.split(".");
  for (let first = 1; first < labels.length; first++) scopes.push(`*.${labels.slice(first).join(".")}`);
  return [...scopes, ""];
}

function requirements(value: unknown, where: string): readonly ImageRequirement[] {
  if (Array.isArray(value) && value.length > 0 && value.length <= MAX_REQUIREMENTS) {
    return value.map((entry) => requirement(tree(entry, where), where));
  }
  throw malformed(`${where}: a list of 1 to ${MAX_REQUIREMENTS} requirements is expected`);
}

function requirement({ type, ...rest }: Tree, where: string): ImageRequirement {
  switch (type) {
    case "insecureAcceptAnything":
      return { kind: "accept" };
    case "reject":
      return { kind: "reject" };
    case "sigstoreSigned":
      return { kind: "signed", key: keyOf(rest, where), identity: identity(rest.signedIdentity, where) };
    default:
      throw malformed(`${where}: requirement ${JSON.stringify(type)?.slice(0, 100)}`);
  }
}

function keyOf({ keyPath, keyData, signedIdentity: _identity, ...others }: Tree, where: string): string {
  if (Object.keys(others).length > 0) throw malformed(`${where}: ${Object.keys(others)[0]}`);
  if (typeof keyPath === "string" && keyData === undefined) {
    return keyPath.startsWith("/") ? `file://${keyPath}` : keyPath;
  }
  const bytes =
    typeof keyData === "string" && keyPath === undefined
      ? decodeBase64(keyData, false, "required")
      : undefined;
  if (bytes !== undefined) return utf8Decode(bytes);
  throw malformed(`${where}: either keyPath or keyData, in base64`);
}

function identity(value: unknown, where: string): SignedIdentity {
  if (value === undefined) return { kind: "image" };
  const { type, dockerReference, dockerRepository } = tree(value, where);
  switch (type) {
    case "matchRepoDigestOrExact":
      return { kind: "image" };
    case "matchRepository":
      return { kind: "repository" };
    case "exactReference":
      if (typeof dockerReference === "string") return { kind: "exact", reference: dockerReference };
      break;
    case "exactRepository":
      if (typeof dockerRepository === "string")
        return { kind: "exact-repository", repository: dockerRepository };
      break;
    default:
  }
  throw malformed(`${where}: signedIdentity ${JSON.stringify(type)?.slice(0, 100)}`);
}

function tree(value: unknown, what: string): Tree {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Tree;
  throw malformed(`${what}: an object is expected`);
}

function malformed(object: string): KataError {
  return new KataError("invalid-argument", { operation: "read policy of images", object });
}
