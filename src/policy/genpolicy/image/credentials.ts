/** Passwords of registries as docker login keeps them. Source: Docker CLI, "Configuration files" and "Credential helpers". */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { KataError } from "../../../kata-error.ts";
import { Node } from "../json.ts";

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export interface CredentialStore {
  /** Undefined if there are none for the registry. */
  find(registry: string): Promise<Credentials | undefined>;
}

/** Docker's own registry is kept under this name. */
const DOCKER_HUB = "https://index.docker.io/v1/";

const HELPER_DEADLINE_MS = 30_000;
const MAX_HELPER_OUTPUT = 64 * 1024;

/** Reads `config.json` of `$DOCKER_CONFIG` or `~/.docker` when it is first needed. */
export class DockerCredentials implements CredentialStore {
  private readonly path: string;
  private configuration: Promise<Node> | undefined;

  constructor(directory = process.env.DOCKER_CONFIG ?? join(homedir(), ".docker")) {
    this.path = join(directory, "config.json");
  }

  async find(registry: string): Promise<Credentials | undefined> {
    this.configuration ??= readConfiguration(this.path);
    const config = await this.configuration;
    const names = registry === "docker.io" ? [DOCKER_HUB, "docker.io"] : [registry, `https://${registry}`];
    for (const name of names) {
      const helper = config.at("credHelpers", name).text() ?? config.at("credsStore").text();
      const found = (helper && (await askHelper(helper, name))) || plainCredentials(config.at("auths", name));
      if (found) return found;
    }
    return undefined;
  }
}

async function readConfiguration(path: string): Promise<Node> {
  try {
    return new Node(JSON.parse(await readFile(path, "utf8")), path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return new Node({}, path);
    const hint = error instanceof Error ? error.message : "it cannot be read";
    throw new KataError("invalid-document", {
      operation: "read passwords",
      object: path,
      hint,
      cause: error,
    });
  }
}

function plainCredentials(entry: Node): Credentials | undefined {
  const encoded = entry.at("auth").text();
  if (encoded) {
    const text = Buffer.from(encoded, "base64").toString("utf8");
    const colon = text.indexOf(":");
    if (colon > 0) return { user: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  const user = entry.at("username").text();
  const password = entry.at("password").text();
  return user !== undefined && password !== undefined ? { user, password } : undefined;
}

/** Asks `docker-credential-HELPER get`, which answers in JSON or fails if it knows none. */
function askHelper(helper: string, name: string): Promise<Credentials | undefined> {
  if (!/^[\w.-]+$/.test(helper)) {
    throw new KataError("invalid-document", {
      operation: "read passwords",
      object: `helper ${helper}`,
      hint: "wrong name",
    });
  }
  return new Promise((resolve, reject) => {
    const program = `docker-credential-${helper}`;
    const child = spawn(program, ["get"], { stdio: ["pipe", "pipe", "ignore"], timeout: HELPER_DEADLINE_MS });
    let output = "";
    child.on("error", (error) => {
      const hint = "the registry's password is kept by this program";
      reject(
        new KataError("missing-program", {
          operation: "ask for password",
          object: program,
          hint,
          cause: error,
        }),
      );
    });
    child.stdout.on("data", (chunk: Uint8Array) => {
      if (output.length < MAX_HELPER_OUTPUT) output += Buffer.from(chunk).toString("utf8");
    });
    child.on("close", (status) => {
      if (status !== 0) return resolve(undefined);
      const answer = new Node(JSON.parse(output), program);
      resolve({ user: answer.at("Username").text() ?? "", password: answer.at("Secret").text() ?? "" });
    });
    // A helper that ends at once may not read.
    child.stdin.on("error", () => undefined);
    child.stdin.end(`${name}\n`);
  });
}
