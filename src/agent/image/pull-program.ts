/**
 * `kata-pull`, the program that decompresses layers and computes their digests: in TypeScript either takes minutes in an emulated
 * guest. Natively it is beside the agent; in a guest it is in the file system that the machine booted from.
 */
import { KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { exists, mkdirAll, O_RDONLY, open, openat, readlink, writeAll } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { memfdCreate } from "../../sys/memory.ts";
import { moveMountTo, OPEN_TREE_CLONE, openTree } from "../../sys/new-mount-api.ts";
import { environment } from "../../sys/program.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import type { ChildReaper } from "../child-reaper.ts";
import { runProgramToEnd } from "../program-run.ts";
import { AGENT_DIRECTORY } from "../sandbox/paths.ts";
import { makeMountPoint } from "../storage/storage.ts";
import type { Compression } from "./image-manifest.ts";

const NAME = "kata-pull";
/** In the initial file system. */
const IN_GUEST = `bin/${NAME}`;
/** Where it is shown in a guest, whose initial file system is out of sight. */
const SHOWN = `${AGENT_DIRECTORY}/${IN_GUEST}`;
/** Its exit status for data that is not what it should be. */
const EXIT_MALFORMED = 3;
/** Its exit status for what is not from whom it should be. */
const EXIT_UNTRUSTED = 4;
const MAX_OUTPUT_BYTES = 4096;

/** Path of the program. @param initialRoot of a guest. @throws KataError `unimplemented` if there is none. */
export function pullProgram(initialRoot: number | undefined): string {
  const path = initialRoot === undefined ? besideAgent() : showInGuest(initialRoot);
  if (path !== undefined && exists(path)) return path;
  throw new KataError("unimplemented", {
    operation: "pull image in the guest",
    object: NAME,
    hint: "this guest has neither a confidential data hub nor this program: build its image with npm run image",
  });
}

/** Where Linux systems have the certificates that they trust. */
const AUTHORITIES = "etc/ssl/certs/ca-certificates.crt";

/** The certificates that the guest trusts; natively the machine's, or those of `SSL_CERT_FILE`. */
export function openAuthorities(initialRoot: number | undefined): FileDescriptor {
  const named = environment.SSL_CERT_FILE ?? "";
  const path = named !== "" ? named : `/${AUTHORITIES}`;
  try {
    return initialRoot === undefined ? open(path, O_RDONLY) : openat(initialRoot, AUTHORITIES, O_RDONLY);
  } catch (error) {
    if (!(error instanceof KataError) || error.errno !== "ENOENT") throw error;
    throw new KataError("unsupported", {
      operation: "pull image in the guest",
      object: "there are no certificates of authorities to know a registry by",
      hint: "build the guest's image with npm run image -- --authorities FILE, or name the registry in agent.image_insecure_registries of the guest's kernel parameters",
      cause: error,
    });
  }
}

function besideAgent(): string {
  return readlink("/proc/self/exe").replace(/[^/]*$/, NAME);
}

function showInGuest(initialRoot: number): string | undefined {
  if (exists(SHOWN)) return SHOWN;
  let tree: ReturnType<typeof openTree>;
  try {
    tree = openTree(initialRoot, IN_GUEST, OPEN_TREE_CLONE);
  } catch (error) {
    if (error instanceof KataError && error.errno === "ENOENT") return undefined;
    throw error;
  }
  using mount = tree;
  mkdirAll(SHOWN.replace(/\/[^/]*$/, ""), 0o700);
  makeMountPoint(SHOWN, false);
  moveMountTo(mount.fd, SHOWN);
  return SHOWN;
}

export interface Digests {
  /** Of the blob, and of what was in it: `sha256:…`. */
  readonly compressed: string;
  readonly plain: string;
}

/** Whether `signature` is one over `text` by the public key. @throws KataError `malformed-message` for a key that is none. */
export async function isSigned(
  { program, reaper, timeoutMs }: PullProgramContext,
  publicKey: Uint8Array,
  text: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  using key = fileOf(publicKey);
  using signed = fileOf(text);
  using by = fileOf(signature);
  const { status, stderr } = await runProgramToEnd(
    {
      path: program(),
      args: [NAME, "verify"],
      environment: [],
      stdin: new Uint8Array(0),
      given: [key.fd, signed.fd, by.fd],
      deadlineMs: timeoutMs,
      outputLimit: MAX_OUTPUT_BYTES,
    },
    reaper,
  );
  if (status === 0 || status === EXIT_UNTRUSTED) return status === 0;
  throw new KataError(status === EXIT_MALFORMED ? "malformed-message" : "internal", {
    operation: "check signature",
    object: stderr === "" ? `${NAME} ended with status ${status}` : stderr,
  });
}

function fileOf(bytes: Uint8Array): FileDescriptor {
  const file = memfdCreate("signed");
  writeAll(file.fd, bytes);
  check(kernel().syscall("lseek", file.fd, 0, 0), "rewind", "signed");
  return file;
}

export interface PullProgramContext {
  readonly program: () => string;
  readonly reaper: ChildReaper;
  readonly timeoutMs: number;
}

/** Decompresses the open file `blob` into the open file `tar`, `mostBytes` at most. @throws KataError `malformed-message` with the program's words. */
export async function decompress(
  { program, reaper, timeoutMs }: PullProgramContext,
  compression: Compression,
  blob: number,
  tar: number,
  mostBytes: number,
): Promise<Digests> {
  const { status, stdout, stderr } = await runProgramToEnd(
    {
      path: program(),
      args: [NAME, "unpack", compression, String(mostBytes)],
      environment: [],
      stdin: new Uint8Array(0),
      given: [blob, tar],
      deadlineMs: timeoutMs,
      outputLimit: MAX_OUTPUT_BYTES,
    },
    reaper,
  );
  const [, compressed, plain] = /^([0-9a-f]{64})\n([0-9a-f]{64})\n$/.exec(utf8Decode(stdout)) ?? [];
  if (status === 0 && compressed !== undefined && plain !== undefined) {
    return { compressed: `sha256:${compressed}`, plain: `sha256:${plain}` };
  }
  throw new KataError(status === EXIT_MALFORMED ? "malformed-message" : "internal", {
    operation: "decompress layer",
    object: stderr === "" ? `${NAME} ended with status ${status}` : stderr,
  });
}
