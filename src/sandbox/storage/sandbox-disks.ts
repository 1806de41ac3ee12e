/**
 * The disks of a pod: files and block devices of the host that have been plugged into its machine.
 *
 * What several containers use is plugged in once and taken out after the last of them.
 */
import { describeError } from "../../kata-error.ts";
import { S_IFBLK, S_IFMT, stat } from "../../sys/files.ts";
import type { DiskDevice, DiskTuning, ServedDiskDevice } from "../hypervisor/disk-device.ts";
import type { AttachedDevice, VirtualMachine } from "../hypervisor/types.ts";
import type { Logger } from "../types.ts";
import { addressText } from "./guest-messages.ts";

export type DiskRequest =
  | {
      /** A file or block device of the host. */
      readonly path: string;
      readonly readOnly: boolean;
      /** The file was made for this sandbox, so that it may be its monitor's. */
      readonly isMade?: boolean;
    }
  /** A disk that another program serves, and where. */
  | { readonly socket: string };

/** A disk in the guest, for one of its users. */
export interface HeldDisk {
  /** The machine's name for it. */
  readonly id: string;
  /** Where the guest finds it. */
  readonly address: AttachedDevice;
  /** Gives it up. Once. */
  release(): Promise<void>;
}

/** What of a machine is needed. */
export type DiskMachine = Pick<VirtualMachine, "capabilities" | "attach" | "detach" | "resizeDisk">;

interface Plugged {
  readonly id: string;
  readonly path: string;
  users: number;
  readonly ready: Promise<AttachedDevice>;
  /** While the guest lets go of it. */
  leaving?: Promise<void>;
}

export class SandboxDisks {
  readonly #machine: DiskMachine;
  readonly #tuning: DiskTuning;
  readonly #logger: Logger;
  readonly #reconnectSeconds: number;
  readonly #plugged = new Map<string, Plugged>();
  #count = 0;

  /** @param reconnectSeconds between tries to reach a program that serves a disk and went away; 0 for none. */
  constructor(machine: DiskMachine, tuning: DiskTuning, logger: Logger, reconnectSeconds = 0) {
    this.#machine = machine;
    this.#reconnectSeconds = reconnectSeconds;
    this.#tuning = tuning;
    this.#logger = logger;
  }

  /** Whether a disk is or was in the machine: the guest may hold back what it has written to it. */
  get wereUsed(): boolean {
    return this.#count > 0;
  }

  /** Whether the machine takes disks while it runs. */
  get canAttach(): boolean {
    return this.#machine.capabilities.hotPlug.disk;
  }

  /** Plugs a disk in, or shares one that is there. @throws KataError with the monitor's words; nothing is left then. */
  async attach(request: DiskRequest): Promise<HeldDisk> {
    const key = identityOf(request);
    await this.#plugged.get(key)?.leaving;
    const plugged = this.#plugged.get(key) ?? this.#plugIn(key, request);
    plugged.users++;
    let address: AttachedDevice;
    try {
      address = await plugged.ready;
    } catch (error) {
      // Somebody may be trying again by now.
      if (this.#plugged.get(key) === plugged) this.#plugged.delete(key);
      throw error;
    }
    return { id: plugged.id, address, release: () => this.#release(key, plugged) };
  }

  /** Tells the guest that a disk has grown to `bytes`. */
  async resize(id: string, bytes: bigint): Promise<void> {
    await this.#machine.resizeDisk(id, bytes);
  }

  #plugIn(key: string, request: DiskRequest): Plugged {
    const id = `disk${this.#count++}`;
    const path = "socket" in request ? request.socket : request.path;
    const ready = this.#machine.attach(this.#device(id, request)).then((address) => {
      this.#logger.debug("disk is plugged in", { id, path, at: addressText(address) });
      return address;
    });
    const plugged = { id, path, users: 0, ready };
    this.#plugged.set(key, plugged);
    return plugged;
  }

  #device(id: string, request: DiskRequest): DiskDevice | ServedDiskDevice {
    const tuning = this.#tuning;
    if (!("socket" in request)) return { kind: "disk", id, ...request, tuning };
    return { kind: "served-disk", id, ...request, reconnectSeconds: this.#reconnectSeconds, tuning };
  }

  async #release(key: string, plugged: Plugged): Promise<void> {
    if (--plugged.users > 0) return;
    plugged.leaving = this.#takeOut(plugged);
    await plugged.leaving;
    this.#plugged.delete(key);
  }

  async #takeOut({ id, path }: Plugged): Promise<void> {
    try {
      await this.#machine.detach(id);
    } catch (error) {
      // It goes with the machine at the latest; the container that used it is gone all the same.
      this.#logger.warn("the guest keeps a disk", { id, path, error: describeError(error) });
    }
  }
}

/** What is the same disk, by whatever path it is reached. */
function identityOf(request: DiskRequest): string {
  if ("socket" in request) return `socket ${request.socket}`;
  const { path, readOnly } = request;
  const { mode, deviceMajor, deviceMinor, onMajor, onMinor, inode } = stat(path);
  const access = readOnly ? "ro" : "rw";
  if ((mode & S_IFMT) === S_IFBLK) return `block ${deviceMajor}:${deviceMinor} ${access}`;
  return `file ${onMajor}:${onMinor}:${inode} ${access}`;
}
