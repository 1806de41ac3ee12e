/**
 * Firecracker in the jail that its jailer makes: a directory that is its root, in a mount namespace of its own, with nothing in it but
 * what the machine needs.
 *
 * ```
 * <sandbox>/jailer/<program>/<id>/root/   the jail: socket of the API, vsock, FIFOs, empty drives, the program's copy
 * <sandbox>/jail                          a link to it, short enough for the address of a socket
 * ```
 *
 * Kernel, image and disks are bound over empty files there. The host sees none of these mounts: those of the start are made by the
 * child in a mount namespace that it leaves the host's for, of which the jailer's is a copy; those of disks that come later are put into
 * the jailer's namespace. All of them go with the process.
 *
 * The jailer's user is root, as upstream's: a container's disks are root's own. It has no more of the host than the jail.
 *
 * Source: Firecracker documentation, docs/jailer.md; src/jailer/src/chroot.rs (mounts of the parent's namespace are slaves of its, and
 * the jail's own are kept).
 */
import { KataError } from "../../../kata-error.ts";
import type { FileDescriptor } from "../../../sys/descriptor.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  mkdirAll,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  open,
  removeTree,
  symlink,
  unlinkIfExists,
} from "../../../sys/files.ts";
import {
  MNT_DETACH,
  MS_BIND,
  MS_NOSUID,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  MS_SLAVE,
  mount,
  UMOUNT_NOFOLLOW,
  umount2,
} from "../../../sys/mount.ts";
import { unshare } from "../../../sys/namespaces.ts";
import {
  MOUNT_ATTR_RDONLY,
  mountSetattr,
  moveMountTo,
  OPEN_TREE_CLONE,
  openTree,
} from "../../../sys/new-mount-api.ts";
import { CLONE_NEWNS } from "../../../sys/process.ts";
import { baseName } from "../../path.ts";
import { MountRoom } from "../../storage/mount-room.ts";
import { enterHelperNamespaces } from "../helper-confinement.ts";
import type { MachineSpec } from "../types.ts";
import type { MonitorFiles } from "./monitor-files.ts";

/** The jailer takes no other program. */
const PROGRAM_NAME = "firecracker";
/** Longest name of a machine that the jailer takes, characters. */
const MAX_ID_LENGTH = 64;
const ROOT_USER = "0";

interface Binding {
  readonly source: string;
  /** In the jail. */
  readonly target: string;
  readonly readOnly: boolean;
}

export class Jail implements MonitorFiles {
  readonly program: string;
  readonly argumentsBefore: readonly string[];
  readonly #spec: MachineSpec;
  readonly #root: string;
  readonly #base: string;
  readonly #link: string;
  readonly #bindings: Binding[] = [];
  #room: MountRoom | undefined;

  private constructor(spec: MachineSpec, jailer: string) {
    const name = baseName(spec.program);
    if (!name.includes(PROGRAM_NAME)) {
      throw new KataError("invalid-configuration", {
        operation: "confine Firecracker",
        object: spec.program,
        hint: `the jailer takes a program with ${PROGRAM_NAME} in its name: rename it, or set jailer_path of [hypervisor.firecracker] to ""`,
      });
    }
    const id = machineId(spec.id);
    this.#spec = spec;
    this.#base = `${spec.runDirectory}/jailer`;
    this.#root = `${this.#base}/${name}/${id}/root`;
    this.#link = `${spec.runDirectory}/jail`;
    this.program = jailer;
    this.argumentsBefore = [
      ...["--id", id, "--exec-file", spec.program, "--uid", ROOT_USER, "--gid", ROOT_USER],
      ...["--chroot-base-dir", this.#base, "--"],
    ];
  }

  /** Makes the directories. @throws KataError `invalid-configuration` for a program that the jailer does not take. */
  static make(spec: MachineSpec, jailer: string): Jail {
    const jail = new Jail(spec, jailer);
    try {
      mkdirAll(jail.#root, 0o700);
      symlink(jail.#root.slice(spec.runDirectory.length + 1), jail.#link);
      return jail;
    } catch (error) {
      jail.remove();
      throw error;
    }
  }

  give(name: string, path: string, access: "read" | "write"): string {
    open(`${this.#root}/${name}`, O_RDONLY | O_CREAT | O_EXCL, 0o600).close();
    this.#bindings.push({ source: path, target: `${this.#root}/${name}`, readOnly: access === "read" });
    return this.monitor(name);
  }

  host(name: string): string {
    return `${this.#link}/${name}`;
  }

  monitor(name: string): string {
    return `/${name}`;
  }

  prepare(): void {
    enterHelperNamespaces(this.#spec);
    unshare(CLONE_NEWNS);
    mount(null, "/", null, MS_SLAVE | MS_REC);
    // Programs and devices are of no use on most file systems of /run.
    mount(this.#root, this.#root, null, MS_BIND);
    mount(null, this.#root, null, MS_BIND | MS_REMOUNT | MS_NOSUID);
    for (const { source, target, readOnly } of this.#bindings) {
      mount(source, target, null, MS_BIND);
      if (readOnly) mount(null, target, null, MS_BIND | MS_REMOUNT | MS_NOSUID | MS_RDONLY);
    }
  }

  started(pid: number): void {
    this.#room = MountRoom.of(pid);
  }

  putDisk(slot: string, path: string, readOnly: boolean): string {
    using tree: FileDescriptor = openTree(AT_FDCWD, path, OPEN_TREE_CLONE);
    if (readOnly) mountSetattr(tree.fd, "", AT_EMPTY_PATH, { set: MOUNT_ATTR_RDONLY, clear: 0 });
    this.#inside(() => moveMountTo(tree.fd, this.monitor(slot)));
    return this.monitor(slot);
  }

  takeDisk(slot: string): string {
    this.#inside(() => umount2(this.monitor(slot), MNT_DETACH | UMOUNT_NOFOLLOW));
    return this.monitor(slot);
  }

  diskPath(slot: string): string {
    return this.monitor(slot);
  }

  #inside(action: () => void): void {
    if (this.#room === undefined) {
      throw new KataError("internal", { operation: "use jail", object: "the monitor has not started" });
    }
    this.#room.run(action);
  }

  remove(): void {
    this.#room?.[Symbol.dispose]();
    this.#room = undefined;
    unlinkIfExists(this.#link);
    removeTree(this.#base);
  }
}

/** The name of a machine for Firecracker: letters, digits and dashes. It need not be different from other machines': the directory above is the sandbox's own. */
export function machineId(id: string): string {
  return id.replace(/[^A-Za-z0-9-]/g, "-").slice(0, MAX_ID_LENGTH);
}
