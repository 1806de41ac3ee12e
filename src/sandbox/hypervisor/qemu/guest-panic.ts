/**
 * A guest whose kernel has panicked: its memory is written to a file for who looks for the reason, and the machine ends.
 * Sources: QEMU QMP reference, GUEST_PANICKED, dump-guest-memory; upstream's runtime (names of the files).
 */
import { describeError, KataError } from "../../../kata-error.ts";
import { chmod, mkdirAll, O_CREAT, O_EXCL, O_WRONLY, open, statfs, writeFile } from "../../../sys/files.ts";
import { CLOCK_REALTIME, clockGettime } from "../../../sys/time.ts";
import type { MemoryDump } from "../machine-options.ts";
import type { QmpClient } from "./qmp-client.ts";

/** A disk takes a gigabyte in seconds; a machine may have hundreds. */
const DUMP_DEADLINE_MS = 600_000;
/** QEMU's name of the descriptor. */
const DESCRIPTOR = "memory-dump";

export interface PanickedGuest {
  /** The sandbox's id. */
  readonly id: string;
  readonly memoryMib: number;
}

/**
 * Waits for a panic and dumps the memory then.
 *
 * @returns a sentence about the panic and where the memory is, or why it is nowhere; undefined if the machine ended without one.
 */
export async function dumpAtPanic(
  client: QmpClient,
  dump: MemoryDump,
  guest: PanickedGuest,
): Promise<string | undefined> {
  if (!(await panicked(client))) return undefined;
  try {
    return `the guest's kernel has panicked; its memory is in ${await dumpMemory(client, dump, guest)}`;
  } catch (error) {
    return `the guest's kernel has panicked; its memory could not be kept: ${describeError(error)}`;
  }
}

async function panicked(client: QmpClient): Promise<boolean> {
  try {
    await client.event("GUEST_PANICKED");
    return true;
  } catch (error) {
    // The connection ends with the machine.
    if (error instanceof KataError) return false;
    throw error;
  }
}

async function dumpMemory(client: QmpClient, dump: MemoryDump, guest: PanickedGuest): Promise<string> {
  const directory = `${dump.directory}/${guest.id}`;
  mkdirAll(directory);
  // All of a pod's secrets are in there.
  chmod(directory, 0o700);
  requireRoom(directory, guest.memoryMib);
  writeFile(`${directory}/hypervisor.version`, `QEMU ${client.version}\n`);
  const seconds = clockGettime(CLOCK_REALTIME) / 1_000_000_000n;
  const path = `${directory}/vmcore-${seconds}.elf`;
  using file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  await client.execute("getfd", { fdname: DESCRIPTOR }, { descriptors: [file.fd] });
  await client.execute(
    "dump-guest-memory",
    { paging: dump.paging, protocol: `fd:${DESCRIPTOR}` },
    { deadlineMs: DUMP_DEADLINE_MS },
  );
  return path;
}

/** A disk that is full harms more than the pod. */
function requireRoom(directory: string, memoryMib: number): void {
  const { availableBlocks, blockSize } = statfs(directory);
  if (availableBlocks * blockSize > memoryMib * (1 << 20)) return;
  throw new KataError("resource-exhausted", {
    operation: "dump memory",
    object: `${memoryMib} MiB into ${directory}`,
    hint: "make room, or set guest_memory_dump_path of [hypervisor.qemu] to a larger file system",
  });
}
