/** Passwords of registries, as `docker login` keeps them. Source: containers-auth.json(5); Docker CLI, "Configuration files". */
import { decodeBase64 } from "../../crypto/base64.ts";
import { KataError } from "../../kata-error.ts";
import { utf8Decode } from "../../sys/utf8.ts";

/** `USER:PASSWORD` in base64 for a repository of a registry; undefined if there is none. */
export type RegistryPasswords = (registry: string, repository: string) => string | undefined;

/** How Docker's own registry is called there, and how the agent calls it. */
const DOCKER_NAMES: readonly string[] = ["docker.io", "index.docker.io", "https://index.docker.io/v1/"];
const DOCKER_REGISTRY = "registry-1.docker.io";

/** @throws KataError `invalid-argument`, which tells no password. */
export function parseRegistryPasswords(text: string): RegistryPasswords {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw malformed("no JSON");
  }
  const auths = isObject(document) ? (document.auths ?? {}) : undefined;
  if (!isObject(auths)) throw malformed("no object with auths");
  const passwords = new Map<string, string>();
  for (const [name, entry] of Object.entries(auths)) {
    const auth = isObject(entry) ? entry.auth : undefined;
    const bytes = typeof auth === "string" ? decodeBase64(auth, false, "required") : undefined;
    if (typeof auth !== "string" || bytes === undefined || !utf8Decode(bytes).includes(":")) {
      throw malformed(`no auth of base64 for ${JSON.stringify(name.slice(0, 200))}`);
    }
    passwords.set(name, auth);
  }
  return (registry, repository) => {
    const names = registry === DOCKER_REGISTRY ? DOCKER_NAMES : [registry, `https://${registry}`];
    // The longest beginning of the repository's name that there is one for.
    for (const path = repository.split("/"); path.length > 0; path.pop()) {
      const found = names.flatMap((name) => passwords.get(`${name}/${path.join("/")}`) ?? []);
      if (found[0] !== undefined) return found[0];
    }
    return names.flatMap((name) => passwords.get(name) ?? [])[0];
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function malformed(object: string): KataError {
  return new KataError("invalid-argument", { operation: "read passwords of registries", object });
}
