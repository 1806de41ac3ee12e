/**
 * Machines that are saved, and others that go on from there.
 *
 * The monitor writes a machine into a directory: what it is made of, what its devices and processors know, and all of its memory. The
 * first two are kept in one file, the first as its first line; of the first, a machine that goes on changes where its vsock is. It copies
 * the memory, which it is shown through a link to a descriptor that it has inherited.
 *
 * A machine is saved without network cards, whose taps it could not have again, and without a shared directory, whose server has a state
 * of its own: both are plugged in afterwards.
 *
 * Source: Cloud Hypervisor documentation, docs/snapshot_restore.md.
 */
import { KataError } from "../../../kata-error.ts";
import {
  AT_EMPTY_PATH,
  ftruncate,
  mkdirAll,
  O_NOFOLLOW,
  O_RDONLY,
  open,
  readFile,
  removeTree,
  statx,
  symlink,
  writeAll,
  writeFile,
} from "../../../sys/files.ts";
import { copySparse } from "../../../sys/sparse-copy.ts";
import { utf8Decode, utf8Encode } from "../../../sys/utf8.ts";
import { runHostProgram } from "../../storage/host-program.ts";
import { fileState } from "../file-state.ts";
import { processorIdentity } from "../processor-identity.ts";
import type { MachineFingerprint, MachineSpec } from "../types.ts";
import type { CloudHypervisorApi } from "./api-client.ts";
import { vmConfig } from "./vm-config.ts";

/** Names of the monitor's. */
const CONFIG = "config.json";
const STATE = "state.json";
const MEMORY = "memory-ranges";
/** In the sandbox's directory. */
const SAVED = "saved-machine";
/** Devices and processors know some hundred KiB. */
const MAX_STATE_BYTES = 64 << 20;
const NEWLINE = 10;
/** Finding the empty pages of some hundred MiB takes less than a second, ms. */
const DIG_DEADLINE_MS = 30_000;

/** See {@link Hypervisor.fingerprint}. */
export function fingerprint(spec: MachineSpec): MachineFingerprint {
  // It would have to open files of root's: those of the saved machine, and the memory that it copies.
  if (spec.user !== undefined) return { kind: "unsupported", reason: "rootless is set" };
  if (spec.hugePages) return { kind: "unsupported", reason: "enable_hugepages is set" };
  if (spec.confidential !== undefined)
    return { kind: "unsupported", reason: "a confidential guest's memory is its own" };
  // What its device has given to the guest is known to that device alone.
  if (spec.memoryGrowth?.kind === "virtio-mem")
    return { kind: "unsupported", reason: "enable_virtio_mem is set" };
  const other = spec.devices.find(({ kind }) => kind !== "network");
  if (other !== undefined) return { kind: "unsupported", reason: `a ${other.kind} cannot be saved` };
  const text = JSON.stringify(vmConfig({ ...spec, devices: [] }, "", true));
  const extensions = (spec.extensions ?? []).map(({ path }) => path);
  const files = [spec.program, spec.kernel, spec.root.path, ...extensions].map(fileState);
  return {
    kind: "fingerprint",
    text: [`cloud-hypervisor ${text}`, ...files, processorIdentity()].join("\n"),
  };
}

/** Descriptors of the files that a machine is kept in. */
export interface SavedFiles {
  readonly state: number;
  readonly memory: number;
}

/** Writes a machine that is paused into `to`, memory without its empty pages. @param within a directory of the sandbox's. */
export async function saveMachine(client: CloudHypervisorApi, within: string, to: SavedFiles): Promise<void> {
  const directory = `${within}/${SAVED}`;
  mkdirAll(directory, 0o700);
  try {
    await client.snapshot(directory);
    const config = parseConfig(utf8Decode(readFile(`${directory}/${CONFIG}`, MAX_STATE_BYTES)));
    writeAll(to.state, utf8Encode(`${JSON.stringify(config)}\n`));
    writeAll(to.state, readFile(`${directory}/${STATE}`, MAX_STATE_BYTES));
    const memory = `${directory}/${MEMORY}`;
    // The monitor writes all pages. Without the program the copy is as large as the memory.
    await runHostProgram({ name: "fallocate", args: ["--dig-holes", memory], deadlineMs: DIG_DEADLINE_MS });
    using file = open(memory, O_RDONLY | O_NOFOLLOW);
    ftruncate(to.memory, statx(file.fd, "", AT_EMPTY_PATH).size);
    await copySparse(file.fd, to.memory);
  } finally {
    removeTree(directory);
  }
}

/**
 * Goes on with a saved machine, which is paused then.
 *
 * @param from `state` is this process's descriptor, `memory` the monitor's.
 * @param vsock path of the socket that the monitor makes.
 */
export async function restoreMachine(
  client: CloudHypervisorApi,
  within: string,
  from: SavedFiles,
  vsock: string,
): Promise<void> {
  const directory = `${within}/${SAVED}`;
  mkdirAll(directory, 0o700);
  try {
    const saved = readFile(`/proc/self/fd/${from.state}`, MAX_STATE_BYTES);
    const end = saved.indexOf(NEWLINE);
    const config = parseConfig(utf8Decode(saved.subarray(0, Math.max(0, end))));
    writeFile(`${directory}/${CONFIG}`, JSON.stringify(withVsock(config, vsock)));
    writeFile(`${directory}/${STATE}`, saved.subarray(end + 1));
    symlink(`/proc/self/fd/${from.memory}`, `${directory}/${MEMORY}`);
    await client.restore(directory);
  } finally {
    removeTree(directory);
  }
}

type SavedConfig = Readonly<Record<string, unknown>>;

function parseConfig(text: string): SavedConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw damaged("what the machine is made of is no JSON", cause);
  }
  if (isRecord(value)) return value;
  throw damaged("what the machine is made of is no object");
}

/** The machine with its vsock at another place. @throws KataError `malformed-message` if it has none. */
export function withVsock(config: SavedConfig, socket: string): SavedConfig {
  if (!isRecord(config.vsock)) throw damaged("the machine has no vsock");
  return { ...config, vsock: { ...config.vsock, socket } };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function damaged(object: string, cause?: unknown): KataError {
  return new KataError("malformed-message", {
    operation: "read saved machine of Cloud Hypervisor",
    object,
    ...(cause === undefined ? {} : { cause }),
  });
}
