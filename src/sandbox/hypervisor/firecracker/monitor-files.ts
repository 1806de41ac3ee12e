/**
 * The files that Firecracker works with: those of the host's that it opens, and those that are made for it.
 *
 * Without the jailer it opens all of them where they are. With it, it sees nothing but its jail: see `jail.ts`.
 */
import {
  ftruncate,
  mkfifo,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDWR,
  open,
  unlinkIfExists,
} from "../../../sys/files.ts";
import { enterHelperNamespaces } from "../helper-confinement.ts";
import type { MachineSpec } from "../types.ts";
import { EMPTY_DRIVE_BYTES } from "./drive-slots.ts";
import type { MonitorPaths } from "./machine-description.ts";

export interface MonitorFiles extends MonitorPaths {
  /** Path on the host of a file in the monitor's own directory. */
  host(name: string): string;
  /** The program to start, with the arguments in front of the monitor's own. */
  readonly program: string;
  readonly argumentsBefore: readonly string[];
  /** Runs in the child before its execve: plain system calls only. */
  prepare(): void;
  /** The monitor answers: from now on it can be given files while it runs. */
  started(pid: number): void;
  /** Puts a disk in the place of slot `slot`. @returns its path for the monitor. */
  putDisk(slot: string, path: string, readOnly: boolean): string;
  /** The empty drive is in the slot's place again. @returns its path for the monitor. */
  takeDisk(slot: string): string;
  /** The path for the monitor of what is in slot `slot`. */
  diskPath(slot: string): string;
  /** Removes all that was made. */
  remove(): void;
}

/** Makes a FIFO in the monitor's directory. @returns its path on the host. */
export function makeFifo(files: MonitorFiles, name: string): string {
  const path = files.host(name);
  mkfifo(path, 0o600);
  return path;
}

/** What is behind a drive that nothing is in. */
export function makeEmptyDrive(path: string): void {
  using file = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  ftruncate(file.fd, EMPTY_DRIVE_BYTES);
}

/** Of a monitor that is not confined. Its own directory is the sandbox's. */
export class UnconfinedFiles implements MonitorFiles {
  readonly program: string;
  readonly argumentsBefore: readonly string[] = [];
  readonly #spec: MachineSpec;
  readonly #made = new Set<string>();
  readonly #disks = new Map<string, string>();

  constructor(spec: MachineSpec) {
    this.#spec = spec;
    this.program = spec.program;
  }

  give(_name: string, path: string): string {
    return path;
  }

  host(name: string): string {
    const path = `${this.#spec.runDirectory}/${name}`;
    this.#made.add(path);
    return path;
  }

  monitor(name: string): string {
    return this.host(name);
  }

  prepare(): void {
    enterHelperNamespaces(this.#spec);
  }

  started(): void {
    // It sees the host's own files, and needs no way in.
  }

  putDisk(slot: string, path: string): string {
    this.#disks.set(slot, path);
    return path;
  }

  takeDisk(slot: string): string {
    this.#disks.delete(slot);
    return this.monitor(slot);
  }

  diskPath(slot: string): string {
    return this.#disks.get(slot) ?? this.monitor(slot);
  }

  remove(): void {
    for (const path of this.#made) unlinkIfExists(path);
    this.#made.clear();
  }
}
