/**
 * Disks for a Cloud Hypervisor that is not root, which opens each by its path.
 *
 * They are shown to it in a file system of their own, which is mounted in a mount namespace that nobody but the monitor is in:
 *
 * ```
 * <user's directory>/disks/     root's, may be gone through but not listed
 *   disk0                       a block device: another node of it, for the user's group; the host's stays as it is
 *   disk1                       a file: itself, bound there, so that the directories above it do not matter
 * ```
 *
 * A file that was made for the machine becomes the user's; any other has to let the user in by its mode. What may only be read is
 * bound read-only. All of it goes with the monitor's process.
 */
import { KataError } from "../../../kata-error.ts";
import type { FileDescriptor } from "../../../sys/descriptor.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  chmod,
  chown,
  type FileStatus,
  fchown,
  mkdirIfMissing,
  mknodat,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  open,
  openat,
  S_IFBLK,
  S_IFMT,
  S_IFREG,
  statx,
  unlinkIfExists,
} from "../../../sys/files.ts";
import { MNT_DETACH, MS_SLAVE, UMOUNT_NOFOLLOW, umount2 } from "../../../sys/mount.ts";
import { unshare } from "../../../sys/namespaces.ts";
import {
  AT_RECURSIVE,
  fsconfigCreate,
  fsconfigString,
  fsmount,
  fsopen,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  mountSetattr,
  moveMount,
  moveMountTo,
  OPEN_TREE_CLONE,
  openTree,
} from "../../../sys/new-mount-api.ts";
import { CLONE_NEWNS } from "../../../sys/process.ts";
import { MountRoom } from "../../storage/mount-room.ts";
import type { DiskDevice } from "../disk-device.ts";
import type { MonitorUser } from "../monitor-user.ts";
import type { StartDevice } from "../types.ts";
import { mayAccess, READ, WRITE } from "../user-access.ts";

/** Root's, and others only pass. */
const MODE = "0711";

export class DiskRoom implements Disposable {
  /** Where the monitor finds its disks. */
  readonly path: string;
  readonly #user: MonitorUser;
  /** The file system's root, which no other process can move or rename. */
  readonly #root: FileDescriptor;
  /** Ids of those that are bound, not nodes. */
  readonly #bound = new Set<string>();
  #mounts: MountRoom | undefined;

  private constructor(user: MonitorUser, root: FileDescriptor) {
    this.#user = user;
    this.#root = root;
    this.path = `${user.directory}/disks`;
  }

  /** Makes an empty one, which is nowhere yet. Its place goes with the user's directory. */
  static make(user: MonitorUser): DiskRoom {
    using context = fsopen("tmpfs");
    fsconfigString(context, "mode", MODE);
    fsconfigCreate(context);
    const root = fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    const room = new DiskRoom(user, root);
    try {
      mkdirIfMissing(room.path, 0o700);
      return room;
    } catch (error) {
      root.close();
      throw error;
    }
  }

  /** Moves the calling process, which is about to become the monitor, to where the room is. */
  enter(): void {
    unshare(CLONE_NEWNS);
    mountSetattr(AT_FDCWD, "/", AT_RECURSIVE, { propagation: MS_SLAVE });
    moveMountTo(this.#root.fd, this.path);
  }

  /** @param pid of the monitor, once it has entered. */
  started(pid: number): void {
    this.#mounts = MountRoom.of(pid);
  }

  /** Devices of the start with their disks where the monitor finds them. */
  give(devices: readonly StartDevice[]): StartDevice[] {
    return devices.map((device) => (device.kind === "disk" ? { ...device, path: this.put(device) } : device));
  }

  /**
   * Puts a disk there. @returns its path for the monitor.
   *
   * @throws KataError `failed-precondition` for a file that its mode keeps from the user; nothing is left then.
   */
  put(disk: DiskDevice): string {
    const { id, path } = disk;
    using file = open(path, O_PATH);
    const status = statx(file.fd, "", AT_EMPTY_PATH);
    switch (status.mode & S_IFMT) {
      case S_IFBLK:
        this.#makeNode(disk, status);
        break;
      case S_IFREG:
        this.#bind(disk, file, status);
        break;
      default:
        throw new KataError("invalid-argument", {
          operation: "give disk to the monitor",
          object: `${path} is neither a file nor a block device`,
        });
    }
    return `${this.path}/${id}`;
  }

  /** Takes a disk away that the monitor has closed, or not opened. */
  take(id: string): void {
    const place = this.#placeOf(id);
    if (this.#bound.delete(id)) this.#inside(() => umount2(place, MNT_DETACH | UMOUNT_NOFOLLOW));
    unlinkIfExists(place);
  }

  /** Gives it up: it goes with the monitor. */
  [Symbol.dispose](): void {
    this.#mounts?.[Symbol.dispose]();
    this.#mounts = undefined;
    this.#root.close();
  }

  /** The node is root's: its owner could make one that may be written to of one that may not. */
  #makeNode({ id, readOnly }: DiskDevice, { deviceMajor, deviceMinor }: FileStatus): void {
    mknodat(this.#root.fd, id, S_IFBLK, deviceMajor, deviceMinor);
    try {
      const place = this.#placeOf(id);
      chown(place, 0, this.#user.gid);
      chmod(place, readOnly ? 0o040 : 0o060);
    } catch (error) {
      this.take(id);
      throw error;
    }
  }

  #bind({ id, path, readOnly, isMade = false }: DiskDevice, file: FileDescriptor, status: FileStatus): void {
    const { uid, gid } = this.#user;
    if (isMade) {
      using made = open(`/proc/self/fd/${file.fd}`, O_RDONLY);
      fchown(made.fd, uid, gid);
    } else if (!mayAccess(this.#user, status, readOnly ? READ : READ | WRITE)) {
      throw new KataError("failed-precondition", {
        operation: "give disk to the monitor",
        object: `${path} may not be ${readOnly ? "read" : "written"} by user ${uid}, whom the monitor runs as`,
        hint: "let rootless_user of [hypervisor.clh] name a user who may, use [hypervisor.qemu], or set rootless to false",
      });
    }
    using tree = openTree(file.fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
    const still = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    mountSetattr(tree.fd, "", AT_EMPTY_PATH, { set: readOnly ? still | MOUNT_ATTR_RDONLY : still });
    openat(this.#root.fd, id, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o400).close();
    try {
      this.#inside(() => {
        using place = openat(this.#root.fd, id, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        moveMount(tree.fd, place.fd);
      });
      this.#bound.add(id);
    } catch (error) {
      this.take(id);
      throw error;
    }
  }

  #placeOf(id: string): string {
    return `/proc/self/fd/${this.#root.fd}/${id}`;
  }

  #inside(action: () => void): void {
    if (this.#mounts === undefined) {
      throw new KataError("internal", {
        operation: "use room of disks",
        object: "the monitor has not started",
      });
    }
    this.#mounts.run(action);
  }
}
