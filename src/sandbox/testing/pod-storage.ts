/** The storage of a pod without a machine: what is plugged in is noted. */
import { KataError } from "../../kata-error.ts";
import type { DiskDevice } from "../hypervisor/disk-device.ts";
import type { PodStorage } from "../storage/container-mounts.ts";
import { SharedFiles } from "../storage/host-files.ts";
import { ChangesDisk } from "../storage/layer-changes.ts";
import { PodVolumes } from "../storage/pod-volumes.ts";
import { type DiskMachine, SandboxDisks } from "../storage/sandbox-disks.ts";
import type { SharedDirectory } from "../storage/shared-directory.ts";
import type { Logger } from "../types.ts";

export const TUNING = {
  io: "threads",
  direct: false,
  noFlush: false,
  logicalSectorBytes: 0,
  physicalSectorBytes: 0,
  queues: 1,
  queueSize: 128,
  threads: 0,
} as const;

/** A machine that takes disks, or refuses those at paths that `refuses` names. */
export class FakeDiskMachine implements DiskMachine {
  readonly capabilities: DiskMachine["capabilities"];
  /** What is plugged in now. */
  readonly disks = new Map<string, DiskDevice>();
  /** All that was done, in order: `attach disk0`, … */
  readonly log: string[] = [];
  readonly #refuses: string;

  constructor(refuses = "", disk = true) {
    this.#refuses = refuses;
    const resize = { vcpus: "fixed", memory: "fixed" } as const;
    this.capabilities = { hotPlug: { disk, network: false }, sharedDirectory: true, template: false, resize };
  }

  async attach(device: Parameters<DiskMachine["attach"]>[0]): Promise<{ readonly pciPath: string }> {
    if (device.kind !== "disk") {
      throw new KataError("unsupported", { operation: "attach", object: device.kind });
    }
    this.log.push(`attach ${device.id}`);
    await Promise.resolve();
    if (device.path === this.#refuses) {
      throw new KataError("hypervisor-error", { operation: "attach", object: device.path });
    }
    this.disks.set(device.id, device);
    return { pciPath: `1e/${device.id.slice("disk".length).padStart(2, "0")}` };
  }

  async detach(id: string): Promise<void> {
    this.log.push(`detach ${id}`);
    await Promise.resolve();
    this.disks.delete(id);
  }

  async resizeDisk(id: string, bytes: bigint): Promise<void> {
    this.log.push(`resize ${id} to ${bytes}`);
    await Promise.resolve();
  }
}

export function podStorage(
  share: SharedDirectory,
  logger: Logger,
  machine: DiskMachine = new FakeDiskMachine("", false),
): PodStorage {
  const disks = new SandboxDisks(machine, TUNING, logger);
  return {
    files: new SharedFiles(share),
    disks,
    volumes: new PodVolumes("pod1", `${share.paths.run}/direct-volumes`),
    emptyDirs: "shared-fs",
    blockRootfs: true,
    guestPull: false,
    changes: new ChangesDisk(disks, { mode: "memory", bytes: 0 }, share.paths.disks),
    logger,
  };
}
