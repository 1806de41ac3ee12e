/**
 * Disks that another program of the host serves over vhost-user, such as SPDK's: no kernel of the host knows them.
 *
 * ```
 * <store>/block/devices/NAME     a node for managers of containers: major 241, and a minor that the operator chooses
 * <store>/block/sockets/NAME     where the program listens
 * ```
 *
 * A container that is given such a node is given the program's disk.
 * Source: upstream Kata Containers, docs/use-cases/using-SPDK-vhostuser-and-kata.md.
 */
import { KataError } from "../../kata-error.ts";
import { readDirectory, S_IFBLK, S_IFMT, S_IFSOCK, statIfExists } from "../../sys/files.ts";

export interface VhostUserStore {
  readonly directory: string;
}

/** Majors that the kernel leaves to local use. Source: Documentation/admin-guide/devices.txt. */
const BLOCK = 241;
const SCSI = 242;

/**
 * The socket behind the node `major`:`minor`; undefined if the store has no such node: then it is a device of the host's.
 *
 * @param store undefined if there is none.
 * @throws KataError `not-found` if nobody listens there; `unsupported` for a SCSI controller.
 */
export function servedDisk(
  store: VhostUserStore | undefined,
  major: number,
  minor: number,
): string | undefined {
  if (store === undefined || (major !== BLOCK && major !== SCSI)) return undefined;
  const devices = `${store.directory}/block/devices`;
  if (statIfExists(devices) === undefined) return undefined;
  const node = readDirectory(devices).find(({ name }) => {
    const status = statIfExists(`${devices}/${name}`);
    return (
      status !== undefined &&
      (status.mode & S_IFMT) === S_IFBLK &&
      status.deviceMajor === major &&
      status.deviceMinor === minor
    );
  });
  if (node === undefined) return undefined;
  if (major === SCSI) {
    throw new KataError("unsupported", {
      operation: "give block device to container",
      object: `${devices}/${node.name}`,
      hint: "it stands for a controller, not for a disk: serve the disk as vhost-user-blk, with a node of major 241",
    });
  }
  return requireSocket(`${store.directory}/block/sockets/${node.name}`);
}

/** @returns `path`. @throws KataError `not-found` if it is no socket. */
export function requireSocket(path: string): string {
  if (((statIfExists(path)?.mode ?? 0) & S_IFMT) === S_IFSOCK) return path;
  throw new KataError("not-found", {
    operation: "find served disk",
    object: path,
    errno: "ENOENT",
    hint: "start the program that serves the disk: it listens at this socket",
  });
}
