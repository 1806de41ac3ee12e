/** Images from registries. Source: OCI distribution-spec 1.1; Docker registry token authentication. */
import { KataError } from "../../../kata-error.ts";
import { Node } from "../json.ts";
import { checkDigest, MAX_DOCUMENT_BYTES, MAX_LAYER_BYTES } from "./blob-digest.ts";
import type { CredentialStore } from "./credentials.ts";
import { type Descriptor, type FoundImage, type ImageSource, parseManifest } from "./image.ts";
import type { ImageReference } from "./reference.ts";
import { entryForGuest, isIndex, MANIFEST_TYPES, MAX_INDEX_DEPTH } from "./select-manifest.ts";

export interface RegistryOptions {
  readonly credentials: CredentialStore;
  /** Hosts that are spoken to over HTTP. */
  readonly insecure: readonly string[];
  /** Hosts to ask before a registry, by the registry. */
  readonly mirrors: ReadonlyMap<string, readonly string[]>;
  readonly fetch: typeof fetch;
}

/** A request may take this long, a layer longer. */
const REQUEST_DEADLINE_MS = 30_000;
const LAYER_DEADLINE_MS = 600_000;

/** Docker's registry answers under another name. */
const API_HOSTS: Readonly<Record<string, string>> = { "docker.io": "registry-1.docker.io" };

export class Registry implements ImageSource {
  readonly name = "registry";
  readonly isRemote = true;
  private readonly options: RegistryOptions;
  /** Authorization headers by host and repository. */
  private readonly authorizations = new Map<string, string>();

  constructor(options: RegistryOptions) {
    this.options = options;
  }

  /**
   * Asks the mirrors and then the registry itself.
   *
   * @throws KataError `registry-unavailable` or `registry-refused` with what the last one asked said.
   */
  async find(reference: ImageReference): Promise<FoundImage | undefined> {
    const hosts = [...(this.options.mirrors.get(reference.registry) ?? []), reference.registry];
    let failure: unknown;
    for (const host of hosts) {
      try {
        const found = await this.findAt(host, reference);
        if (found) return found;
      } catch (error) {
        if (!(error instanceof KataError)) throw error;
        failure = error;
      }
    }
    if (failure !== undefined) throw failure;
    return undefined;
  }

  private async findAt(host: string, reference: ImageReference): Promise<FoundImage | undefined> {
    const { repository, tag, digest } = reference;
    const manifest = await this.manifest(host, repository, digest ?? tag ?? "latest", 0);
    if (manifest === undefined) return undefined;
    const parsed = parseManifest(manifest, `${host}/${repository}`);
    const config = await this.blob(host, repository, parsed.config, MAX_DOCUMENT_BYTES, REQUEST_DEADLINE_MS);
    return {
      manifest: parsed,
      config: new TextDecoder().decode(config),
      blob: (descriptor) => this.blob(host, repository, descriptor, MAX_LAYER_BYTES, LAYER_DEADLINE_MS),
    };
  }

  /** The manifest for the guest's platform; undefined if there is none of that name. */
  private async manifest(
    host: string,
    repository: string,
    name: string,
    depth: number,
  ): Promise<string | undefined> {
    const url = `${this.base(host)}/v2/${repository}/manifests/${name}`;
    const headers = { accept: MANIFEST_TYPES.join(", ") };
    const response = await this.get(host, repository, url, headers, REQUEST_DEADLINE_MS);
    if (response === undefined) return undefined;
    const bytes = await readBody(response, MAX_DOCUMENT_BYTES, url);
    if (name.includes(":")) checkDigest(bytes, name, url);
    const text = new TextDecoder().decode(bytes);
    const document = new Node(JSON.parse(text), url);
    if (!isIndex(document)) return text;
    const entry = depth < MAX_INDEX_DEPTH ? entryForGuest(document) : undefined;
    if (entry === undefined) {
      throw refused(url, "it has no image for the guest's architecture");
    }
    return this.manifest(host, repository, entry.digest, depth + 1);
  }

  private async blob(
    host: string,
    repository: string,
    { digest }: Descriptor,
    limit: number,
    deadlineMs: number,
  ): Promise<Uint8Array> {
    const url = `${this.base(host)}/v2/${repository}/blobs/${digest}`;
    const response = await this.get(host, repository, url, {}, deadlineMs);
    if (response === undefined) throw refused(url, "the registry has no such blob");
    const bytes = await readBody(response, limit, url);
    checkDigest(bytes, digest, url);
    return bytes;
  }

  private base(host: string): string {
    const scheme = this.options.insecure.includes(host) ? "http" : "https";
    return `${scheme}://${API_HOSTS[host] ?? host}`;
  }

  /** A successful response; undefined for 404. Asks for a token if the registry wants one. */
  private async get(
    host: string,
    repository: string,
    url: string,
    headers: Readonly<Record<string, string>>,
    deadlineMs: number,
  ): Promise<Response | undefined> {
    const key = `${host}/${repository}`;
    let response = await this.request(url, headers, this.authorizations.get(key), deadlineMs);
    if (response.status === 401) {
      await response.body?.cancel();
      const challenge = response.headers.get("www-authenticate") ?? "";
      const authorization = await this.authorize(host, repository, challenge, url);
      this.authorizations.set(key, authorization);
      response = await this.request(url, headers, authorization, deadlineMs);
    }
    if (response.ok) return response;
    await response.body?.cancel();
    if (response.status === 404) return undefined;
    const hint =
      response.status === 401 || response.status === 403 ? "; are you logged in with docker login?" : "";
    throw refused(url, `HTTP status ${response.status}${hint}`);
  }

  private async request(
    url: string,
    headers: Readonly<Record<string, string>>,
    authorization: string | undefined,
    deadlineMs: number,
  ): Promise<Response> {
    const all = authorization === undefined ? headers : { ...headers, authorization };
    try {
      return await this.options.fetch(url, { headers: all, signal: AbortSignal.timeout(deadlineMs) });
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      throw new KataError("registry-unavailable", {
        operation: "ask registry",
        object: url,
        hint: cause instanceof Error ? cause.message : String(cause),
        cause: error,
      });
    }
  }

  /** The header that answers a challenge. Source: RFC 6750; distribution, "Token Authentication Specification". */
  private async authorize(host: string, repository: string, challenge: string, url: string): Promise<string> {
    const credentials = await this.options.credentials.find(host);
    const basic =
      credentials && `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString("base64")}`;
    const [, scheme = "", parameters = ""] = /^(\w+)\s+(.*)$/.exec(challenge) ?? [];
    if (scheme.toLowerCase() === "basic") {
      if (basic === undefined) throw refused(url, "it wants a password: docker login has none for it");
      return basic;
    }
    const values = new Map(
      [...parameters.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value]),
    );
    const realm = values.get("realm");
    if (scheme.toLowerCase() !== "bearer" || realm === undefined) {
      throw refused(url, `it wants an authentication that is not known: ${challenge}`);
    }
    const address = new URL(realm);
    const service = values.get("service");
    if (service !== undefined) address.searchParams.set("service", service);
    address.searchParams.set("scope", values.get("scope") ?? `repository:${repository}:pull`);
    const response = await this.request(address.href, {}, basic, REQUEST_DEADLINE_MS);
    if (!response.ok) {
      await response.body?.cancel();
      throw refused(address.href, `HTTP status ${response.status}; are you logged in with docker login?`);
    }
    const answer = new Node(
      JSON.parse(new TextDecoder().decode(await readBody(response, MAX_DOCUMENT_BYTES, address.href))),
      address.href,
    );
    return `Bearer ${answer.at("token").text() ?? answer.at("access_token").requiredText()}`;
  }
}

async function readBody(response: Response, limit: number, url: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > limit) throw refused(url, `more than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function refused(object: string, hint: string): KataError {
  return new KataError("registry-refused", { operation: "ask registry", object, hint });
}
