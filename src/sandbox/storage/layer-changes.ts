/**
 * The disk that takes what the pod's containers change in their verified layers, so that big writes are no memory of the guest's: a file
 * of the host's, full of holes, plugged in for the first container that may write and kept until the pod's end. It has no name once the
 * machine has opened it, so its room goes with the machine, however that ends.
 */
import { ftruncate, mkdirAll, O_CREAT, O_EXCL, O_RDWR, open, unlinkIfExists } from "../../sys/files.ts";
import { GUEST_SANDBOX } from "../sandbox-paths.ts";
import { makeFilesystem } from "./filesystem-image.ts";
import { diskOfStorage, type GuestStorage, podDiskOptions } from "./guest-messages.ts";
import type { SandboxDisks } from "./sandbox-disks.ts";

/** Where the guest mounts it. */
const GUEST_CHANGES = `${GUEST_SANDBOX}/changes`;

/** The option of an overlay of layers whose changes are on that disk. */
export const CHANGES_ON_DISK = "io.katacontainers.fs-opt.changes-on-disk";

/** Where changes are: the guest's memory, a disk as it is, or one that the guest encrypts with a key that ends with it. */
export type LayerChangesMode = "memory" | "block-plain" | "block-encrypted";

export interface LayerChanges {
  readonly mode: LayerChangesMode;
  /** Size of the disk, bytes. */
  readonly bytes: number;
}

export class ChangesDisk {
  readonly #disks: SandboxDisks;
  readonly #changes: LayerChanges;
  readonly #directory: string;
  #plugged: Promise<GuestStorage> | undefined;

  /** @param directory where the file is while it has a name; not in memory. */
  constructor(disks: SandboxDisks, changes: LayerChanges, directory: string) {
    this.#disks = disks;
    this.#changes = changes;
    this.#directory = directory;
  }

  /** What the guest mounts for it; undefined if changes are in the guest's memory. @throws KataError; the next call tries again. */
  async storage(): Promise<GuestStorage | undefined> {
    if (this.#changes.mode === "memory") return undefined;
    this.#plugged ??= this.#plugIn();
    try {
      return await this.#plugged;
    } catch (error) {
      this.#plugged = undefined;
      throw error;
    }
  }

  async #plugIn(): Promise<GuestStorage> {
    const isEncrypted = this.#changes.mode === "block-encrypted";
    const path = `${this.#directory}/changes.img`;
    mkdirAll(this.#directory, 0o700);
    try {
      {
        using file = open(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
        ftruncate(file.fd, this.#changes.bytes);
      }
      if (!isEncrypted) await makeFilesystem(path, "ext4");
      const { address } = await this.#disks.attach({ path, readOnly: false, isMade: true });
      const { driver, source, driverOptions } = diskOfStorage(address);
      return {
        driver,
        driverOptions: [...driverOptions, ...podDiskOptions(isEncrypted)],
        source,
        fstype: "ext4",
        options: [],
        mountPoint: GUEST_CHANGES,
        shared: true,
      };
    } finally {
      unlinkIfExists(path);
    }
  }
}
