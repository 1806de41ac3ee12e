/**
 * Machines that are saved, and others that go on from there.
 *
 * A saved machine knows the files behind its drives and the socket of its vsock by their paths. In a jail these are the same for every
 * machine; outside of one they would be the template's own, so that nothing but jailed machines is saved. Its card's tap has the same
 * name in every pod's namespace.
 *
 * Source: Firecracker documentation, docs/snapshotting/snapshot-support.md.
 */
import {
  AT_EMPTY_PATH,
  ftruncate,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  open,
  statx,
  unlinkIfExists,
} from "../../../sys/files.ts";
import { copySparse } from "../../../sys/sparse-copy.ts";
import { runHostProgram } from "../../storage/host-program.ts";
import { fileState } from "../file-state.ts";
import { processorIdentity } from "../processor-identity.ts";
import type { MachineFingerprint, MachineSpec } from "../types.ts";
import type { FirecrackerApi } from "./api-client.ts";
import { machineText } from "./machine-description.ts";
import type { MonitorFiles } from "./monitor-files.ts";

/** In the monitor's directory. */
const STATE = "saved.state";
const MEMORY = "saved.memory";
/** Finding the empty pages of some hundred MiB takes less than a second, ms. */
const DIG_DEADLINE_MS = 30_000;

/** Descriptors of the files that a machine is kept in. */
export interface SavedFiles {
  readonly state: number;
  readonly memory: number;
}

/** Whether a machine of `spec` can be saved, and go on elsewhere. */
export function isSavable({ jailer = "", hugePages }: MachineSpec): boolean {
  return jailer !== "" && !hugePages;
}

/** See {@link Hypervisor.fingerprint}. */
export function fingerprint(spec: MachineSpec): MachineFingerprint {
  if (spec.hugePages) return { kind: "unsupported", reason: "enable_hugepages is set" };
  if (!isSavable(spec))
    return {
      kind: "unsupported",
      reason: "machines of Firecracker are saved in a jail alone, and jailer_path is empty",
    };
  const other = spec.devices.find(({ kind }) => kind !== "network");
  if (other !== undefined) return { kind: "unsupported", reason: `a ${other.kind} cannot be saved` };
  const files = [spec.program, spec.jailer ?? "", spec.kernel, spec.root.path].map(fileState);
  return { kind: "fingerprint", text: [machineText(spec), ...files, processorIdentity()].join("\n") };
}

/** Writes a machine that is paused into `to`, memory without its empty pages. */
export async function saveMachine(
  client: FirecrackerApi,
  files: MonitorFiles,
  to: SavedFiles,
): Promise<void> {
  const [state, memory] = [files.host(STATE), files.host(MEMORY)];
  try {
    await client.createSnapshot(files.monitor(STATE), files.monitor(MEMORY));
    // The monitor writes all pages. Without the program the copy is as large as the memory.
    await runHostProgram({ name: "fallocate", args: ["--dig-holes", memory], deadlineMs: DIG_DEADLINE_MS });
    await copyFrom(state, to.state);
    await copyFrom(memory, to.memory);
  } finally {
    unlinkIfExists(state);
    unlinkIfExists(memory);
  }
}

/** Goes on with a saved machine. Its memory is a copy of its own, which it maps. */
export async function restoreMachine(
  client: FirecrackerApi,
  files: MonitorFiles,
  from: SavedFiles,
): Promise<void> {
  const [state, memory] = [files.host(STATE), files.host(MEMORY)];
  await copyTo(from.state, state);
  await copyTo(from.memory, memory);
  await client.loadSnapshot(files.monitor(STATE), files.monitor(MEMORY));
  // The machine has read the one and mapped the other.
  unlinkIfExists(state);
  unlinkIfExists(memory);
}

async function copyFrom(path: string, to: number): Promise<void> {
  using file = open(path, O_RDONLY | O_NOFOLLOW);
  await copySparse(file.fd, to);
}

async function copyTo(from: number, path: string): Promise<void> {
  using file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  ftruncate(file.fd, statx(from, "", AT_EMPTY_PATH).size);
  await copySparse(from, file.fd);
}
