/**
 * Swap space for a guest: a file of the host's, which takes room only as far as the guest writes to it, plugged in as a disk.
 *
 * The file loses its name as soon as the monitor has opened it, and is gone with the machine.
 * Source: upstream Kata Containers, docs/how-to/how-to-setup-swap-devices-in-guest-kernel.md.
 */
import { KataError } from "../../kata-error.ts";
import {
  ftruncate,
  mkdirAll,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDWR,
  open,
  removeIfEmpty,
  statfs,
  statIfExists,
  unlinkIfExists,
} from "../../sys/files.ts";
import type { AgentClient } from "../agent-client.ts";
import type { AttachedDevice } from "../hypervisor/types.ts";
import type { SandboxDisks } from "./sandbox-disks.ts";

export interface SwapSettings {
  /** Where the file is made. */
  readonly directory: string;
  /** Of the machine's memory. */
  readonly percent: number;
  /** How long a machine lives without, ms: most pods end before. */
  readonly afterMs: number;
}

export interface SwapRequest {
  /** Of the file, while it has one: no other pod's. */
  readonly name: string;
  /** Where it is made. */
  readonly directory: string;
  readonly bytes: number;
  /** Whether the host has to have room for all of it now. */
  readonly mustFit?: boolean;
  readonly disks: Pick<SandboxDisks, "attach">;
  readonly calls: Pick<AgentClient, "addSwap" | "addSwapPath">;
}

/** The guest looks for the disk, and writes one page, ms. */
const CALL = { timeoutMs: 30_000 };

/** @throws KataError; the guest has no more than before then. */
export async function giveSwap({
  name,
  directory,
  bytes,
  mustFit,
  disks,
  calls,
}: SwapRequest): Promise<void> {
  const isOurs = statIfExists(directory) === undefined;
  mkdirAll(directory, 0o700);
  const path = `${directory}/${name}.swap`;
  try {
    if (mustFit === true) requireRoom(directory, bytes);
    makeFile(path, bytes);
    const disk = await disks.attach({ path, readOnly: false, isMade: true });
    try {
      await useSwap(disk.address, calls);
    } catch (error) {
      await disk.release();
      throw error;
    }
  } finally {
    unlinkIfExists(path);
    if (isOurs) removeIfEmpty(directory);
  }
}

function requireRoom(directory: string, bytes: number): void {
  const { availableBlocks, blockSize } = statfs(directory);
  if (availableBlocks * blockSize >= bytes) return;
  throw new KataError("resource-exhausted", {
    operation: "give swap space to guest",
    object: `${bytes} bytes in ${directory}`,
    hint: "ask for less (annotation io.katacontainers.container.resource.swap_in_bytes), or set guest_swap_path to where there is room",
  });
}

function makeFile(path: string, bytes: number): void {
  using file = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  ftruncate(file.fd, bytes);
}

async function useSwap(address: AttachedDevice, calls: SwapRequest["calls"]): Promise<void> {
  if ("pciPath" in address) {
    await calls.addSwap(
      { PCIPath: address.pciPath.split("/").map((slot) => Number.parseInt(slot, 16)) },
      CALL,
    );
  } else if ("node" in address) {
    await calls.addSwapPath({ path: address.node }, CALL);
  } else {
    throw new KataError("unsupported", {
      operation: "give swap space to guest",
      object: "a disk behind a SCSI controller",
      hint: 'set block_device_driver to "virtio-blk"',
    });
  }
}
