/**
 * A root filesystem that is a directory of the host's, as a disk: for a guest that shares no directory with the host, and a snapshotter
 * (overlayfs, native) that knows of none.
 *
 * An ext4 file system is made of a copy. What the container writes is in that copy and goes with the container, so that nothing of it
 * comes into an image that is committed; and making it takes as long as reading the image does. A snapshotter of disks does without
 * either.
 *
 * Source: mke2fs(8), "-d root-directory".
 */
import { KataError } from "../../kata-error.ts";
import { ftruncate, mkdirAll, O_CREAT, O_EXCL, O_RDWR, open, stat, unlinkIfExists } from "../../sys/files.ts";
import type { ContainerRequest } from "../types.ts";
import type { BlockRootfs } from "./block-rootfs.ts";
import { runHostProgram } from "./host-program.ts";
import { rootfsName, shareRootfs } from "./rootfs.ts";
import type { SharedDirectory } from "./shared-directory.ts";

/** The disk is full of holes, so its size is what a container may write: as much as containerd's devmapper gives, or ten times that. */
const SIZES = [10 * 2 ** 30, 100 * 2 ** 30];
/** An image of some gigabytes is copied in that time, ms. */
const COPY_DEADLINE_MS = 180_000;

/**
 * Makes the disk of `request`'s root filesystem, in a file that the caller removes.
 *
 * @throws KataError `unsupported` that says which snapshotters do without, if the host has no mkfs.ext4.
 */
export async function rootfsAsDisk(share: SharedDirectory, request: ContainerRequest): Promise<BlockRootfs> {
  const name = rootfsName(request.id);
  const directory = share.paths.disks;
  const path = `${directory}/${request.id}.ext4`;
  mkdirAll(directory, 0o700);
  shareRootfs(share, request);
  try {
    const source = `${share.paths.mounts}/${name}`;
    const { mode, uid, gid } = share.room.run(() => stat(source));
    await fill(path, (size) => copyInto(share, source, path, size, `${uid}:${gid}`), request.id);
    return { path, filesystem: "ext4", readOnly: false, options: [], made: { rootMode: mode & 0o7777 } };
  } catch (error) {
    unlinkIfExists(path);
    throw error;
  } finally {
    share.remove(name);
  }
}

/** Tries one size after the other. @param copy to a new file of that size; whether it had room. */
async function fill(
  path: string,
  copy: (bytes: number) => Promise<boolean>,
  containerId: string,
): Promise<void> {
  for (const bytes of SIZES) {
    unlinkIfExists(path);
    if (await copy(bytes)) return;
  }
  throw new KataError("resource-exhausted", {
    operation: "make disk of root filesystem",
    object: `${containerId}: ${path}`,
    hint: "mkfs.ext4 could not copy it: look whether the host's disk is full; the snapshotters blockfile and devmapper need no copy",
  });
}

async function copyInto(
  share: SharedDirectory,
  source: string,
  path: string,
  bytes: number,
  owner: string,
): Promise<boolean> {
  {
    using file = open(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
    ftruncate(file.fd, bytes);
  }
  const prepare = () => share.room.enter();
  const layout = ["-O", "^has_journal", "-E", `lazy_itable_init=1,nodiscard,root_owner=${owner}`];
  const status = await runHostProgram({
    name: "mkfs.ext4",
    // It has no journal: after a crash of the guest there is no container that would read it.
    args: ["-q", "-F", "-m", "0", ...layout, "-d", source, path],
    deadlineMs: COPY_DEADLINE_MS,
    prepare,
  });
  if (status === undefined) throw noProgram(source);
  if (status !== 0) return false;
  // Images have none; a host without debugfs leaves it there.
  await runHostProgram({
    name: "debugfs",
    args: ["-w", "-R", "rmdir lost+found", path],
    deadlineMs: COPY_DEADLINE_MS,
  });
  return true;
}

function noProgram(source: string): KataError {
  return new KataError("unsupported", {
    operation: "make disk of root filesystem",
    object: `${source}: a directory of the host's`,
    hint: 'this guest shares no directory with the host (shared_fs = "none"): install e2fsprogs for mkfs.ext4, or use a snapshotter of disks: blockfile or devmapper',
  });
}
