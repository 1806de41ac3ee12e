/**
 * Asking a registry for manifests and blobs, with the password or token that it wants.
 * Sources: OCI distribution specification ("Pull"); distribution, token authentication (RFC 6750, `WWW-Authenticate: Bearer`).
 */
import { KataError } from "../../kata-error.ts";
import { type HttpAnswer, httpGet, wholeBody } from "../../rpc/http/http-exchange.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { MANIFEST_TYPES, MAX_DOCUMENT_BYTES } from "./image-manifest.ts";
import type { ImageReference } from "./image-reference.ts";

/** Where a request goes. */
export interface Origin {
  readonly scheme: "http" | "https";
  /** Without the port. */
  readonly host: string;
  readonly port: number;
}

export interface RegistryOptions {
  /** @throws KataError if nobody can be reached there. */
  readonly connect: (origin: Origin) => Promise<ByteStream>;
  /** Hosts, with their port, that are spoken to without encryption. */
  readonly insecure: ReadonlySet<string>;
  /** `USER:PASSWORD` in base64; undefined for nobody in particular. */
  readonly password?: string | undefined;
}

/** Blobs lie elsewhere more often than not. */
const MAX_REDIRECTIONS = 5;
const MAX_TOKEN_BYTES = 64 << 10;
const PORTS = { http: 80, https: 443 } as const;

export class RegistryClient {
  readonly #reference: ImageReference;
  readonly #options: RegistryOptions;
  /** What requests say of who asks. */
  #authorization: string | undefined;

  constructor(reference: ImageReference, options: RegistryOptions) {
    this.#reference = reference;
    this.#options = options;
  }

  /** The text of a manifest. @param version a tag or a digest, which the caller checks it by. */
  async manifest(version: string): Promise<Uint8Array> {
    const accept = new Map([["Accept", MANIFEST_TYPES.join(", ")]]);
    return await this.#get(`manifests/${version}`, accept, (answer) => wholeBody(answer, MAX_DOCUMENT_BYTES));
  }

  /** Hands a blob over in pieces. */
  async blob(digest: string, take: (piece: Uint8Array) => void): Promise<void> {
    await this.#get(`blobs/${digest}`, new Map(), async ({ body }) => {
      for await (const piece of body) take(piece);
    });
  }

  async #get<T>(
    path: string,
    fields: ReadonlyMap<string, string>,
    use: (answer: HttpAnswer) => Promise<T>,
  ): Promise<T> {
    const { registry, repository } = this.#reference;
    const scheme = this.#options.insecure.has(registry) ? "http" : "https";
    const url = `${scheme}://${registry}/v2/${repository}/${path}`;
    const authorized = () =>
      this.#authorization === undefined
        ? fields
        : new Map([...fields, ["Authorization", this.#authorization]]);
    const first = await this.#follow(url, authorized(), use);
    if (first.kind === "done") return first.value;
    this.#authorization = await this.#authorize(first.challenge, url);
    const second = await this.#follow(url, authorized(), use);
    if (second.kind === "done") return second.value;
    throw this.#unauthorized(url);
  }

  #unauthorized(url: string): KataError {
    return new KataError("permission-denied", {
      operation: "pull from registry",
      object: url,
      hint:
        this.#options.password === undefined
          ? "it wants a user's password: authenticated_registry_credentials_uri in cdh.toml of the initdata, or agent.image_registry_auth"
          : "it does not take the password that the guest has for it",
    });
  }

  /** Answers a challenge: with the password itself, or with a token that may have been had for it. */
  async #authorize(challenge: string, url: string): Promise<string> {
    const { password } = this.#options;
    if (/^basic\b/i.test(challenge) && password !== undefined) return `Basic ${password}`;
    return `Bearer ${await this.#askForToken(challenge, url)}`;
  }

  async #follow<T>(
    first: string,
    fields: ReadonlyMap<string, string>,
    use: (answer: HttpAnswer) => Promise<T>,
  ): Promise<{ kind: "done"; value: T } | { kind: "challenged"; challenge: string }> {
    let url = first;
    let sent = fields;
    for (let redirection = 0; redirection <= MAX_REDIRECTIONS; redirection++) {
      const { origin, authority, target } = splitUrl(url);
      const stream = await this.#options.connect(origin);
      try {
        const answer = await httpGet(stream, authority, target, sent);
        const { status } = answer;
        if (status === 200) return { kind: "done", value: await use(answer) };
        const challenge = answer.fields.get("www-authenticate");
        if (status === 401 && challenge !== undefined) return { kind: "challenged", challenge };
        const location = answer.fields.get("location");
        if (![301, 302, 303, 307, 308].includes(status) || location === undefined) throw refused(url, status);
        const next = location.startsWith("/") ? `${origin.scheme}://${authority}${location}` : location;
        if (origin.scheme === "https" && splitUrl(next).origin.scheme === "http") throw refused(next, status);
        // A token is for the one who asked for it.
        if (splitUrl(next).authority !== authority) {
          sent = new Map([...sent].filter(([name]) => name !== "Authorization"));
        }
        url = next;
      } finally {
        stream.close();
      }
    }
    throw new KataError("malformed-message", {
      operation: "pull from registry",
      object: first,
      hint: "it redirects without end",
    });
  }

  /** A token for whose password there is, or for anybody. @param challenge `Bearer realm="…",service="…",scope="…"`. */
  async #askForToken(challenge: string, url: string): Promise<string> {
    const parameters = new Map(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value]),
    );
    const realm = parameters.get("realm");
    if (!/^bearer\s/i.test(challenge)) throw this.#unauthorized(url);
    if (realm === undefined) throw refused(url, 401);
    const query = ["service", "scope"].flatMap((name) => {
      const value = parameters.get(name);
      return value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`];
    });
    // The password of nobody is no secret, but what comes back is worth as much as the registry.
    if (url.startsWith("https:") && !realm.startsWith("https:")) throw refused(realm, 401);
    const address = `${realm}${realm.includes("?") ? "&" : "?"}${query.join("&")}`;
    const { password } = this.#options;
    const fields = new Map(password === undefined ? [] : [["Authorization", `Basic ${password}`]]);
    const answered = await this.#follow(address, fields, (answer) => wholeBody(answer, MAX_TOKEN_BYTES));
    if (answered.kind === "challenged") throw refused(address, 401);
    return tokenOf(utf8Decode(answered.value), address);
  }
}

function tokenOf(text: string, address: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const { token, access_token: other } = (typeof value === "object" && value !== null ? value : {}) as {
    readonly token?: unknown;
    readonly access_token?: unknown;
  };
  const found = typeof token === "string" ? token : other;
  if (typeof found === "string" && /^[\x21-\x7e]+$/.test(found)) return found;
  throw new KataError("malformed-message", { operation: "ask for a registry's token", object: address });
}

/** @throws KataError `malformed-message` for what is no address of http. */
export function splitUrl(url: string): {
  readonly origin: Origin;
  readonly authority: string;
  readonly target: string;
} {
  const [, scheme, host, port, target = ""] =
    /^(https?):\/\/(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?(\/[\x21-\x7e]*)?$/.exec(url) ?? [];
  if ((scheme !== "http" && scheme !== "https") || host === undefined) {
    throw new KataError("malformed-message", {
      operation: "read address of registry",
      object: JSON.stringify(url.slice(0, 200)),
    });
  }
  return {
    origin: { scheme, host, port: port === undefined ? PORTS[scheme] : Number(port) },
    authority: port === undefined ? host : `${host}:${port}`,
    target: target === "" ? "/" : target,
  };
}

function refused(url: string, status: number): KataError {
  const code =
    status === 404 ? "not-found" : status === 401 || status === 403 ? "permission-denied" : "unavailable";
  return new KataError(code, {
    operation: "pull from registry",
    object: url.slice(0, 300),
    hint: `it answered ${status}`,
  });
}
