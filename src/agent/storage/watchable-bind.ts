/**
 * Volumes whose changes on the host reach programs in the guest: ConfigMaps, Secrets, projected tokens.
 *
 * A file system that the host shares tells nothing of changes by inotify(7). So the agent keeps a copy in memory, looks at the
 * source twice within the time in which a change has to arrive, and changes the copy as Kubernetes changes the source;
 * programs that watch the copy hear of that.
 */
import { describeError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import {
  AT_EMPTY_PATH,
  ftruncate,
  mkdirAll,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  open,
  S_IFDIR,
  S_IFMT,
  statx,
  unlinkIfExists,
  writeFile,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { fsconfigCreate, fsconfigString, fsmount, fsopen, moveMountTo } from "../../sys/new-mount-api.ts";
import { checkMountPoint, type StorageDriver, unmount } from "./storage.ts";
import { applyVolumeGroup } from "./volume-group.ts";
import { copyContent, WatchedTree } from "./watched-tree.ts";

/** A change is seen after this time at the latest, ms; what is promised is twice as much. */
const INTERVAL_MS = 1000;

/** Something that keeps a copy up to date. */
interface Follower {
  follow(): boolean;
  close(): void;
}

export const watchableBind: StorageDriver = async (storage, { warn }) => {
  const { source, mountPoint, group } = storage;
  checkMountPoint(mountPoint);
  checkMountPoint(source);
  using place = open(source, O_RDONLY);
  const isDirectory = (statx(place.fd, "", AT_EMPTY_PATH).mode & S_IFMT) === S_IFDIR;
  const follower = isDirectory ? followDirectory(source, mountPoint) : followFile(source, mountPoint);
  let failed = "";
  const round = (): void => {
    try {
      if (follower.follow() && group !== undefined && isDirectory) applyVolumeGroup(mountPoint, group);
      failed = "";
    } catch (error) {
      // It is looked at again. Told once: a source that is gone for good would fill the log.
      const text = describeError(error);
      if (text !== failed) warn("follow volume", { source, error: text });
      failed = text;
    }
    timer = loop.after(INTERVAL_MS, round);
  };
  try {
    follower.follow();
  } catch (error) {
    follower.close();
    throw error;
  }
  let timer = loop.after(INTERVAL_MS, round);
  return () => {
    timer.cancel();
    follower.close();
  };
};

function followDirectory(source: string, mountPoint: string): Follower {
  mkdirAll(mountPoint);
  using context = fsopen("tmpfs");
  fsconfigString(context, "mode", "755");
  // Secrets are to be in memory and nowhere else; the volume has its own bound on the host.
  fsconfigString(context, "size", "0");
  fsconfigString(context, "nr_inodes", "0");
  fsconfigCreate(context);
  using mount = fsmount(context, 0);
  moveMountTo(mount.fd, mountPoint);
  const from = open(source, O_RDONLY | O_DIRECTORY);
  try {
    const to = open(mountPoint, O_RDONLY | O_DIRECTORY);
    const tree = new WatchedTree(from.fd, to.fd);
    return {
      follow: () => tree.follow(),
      close() {
        from.close();
        to.close();
        unmount(mountPoint);
      },
    };
  } catch (error) {
    from.close();
    unmount(mountPoint);
    throw error;
  }
}

/**
 * One file, which containers have bound: its content is changed and not the file, as the bind would keep the old one.
 * The source is opened anew each time, as whoever changes it may put another file in its place.
 */
function followFile(source: string, mountPoint: string): Follower {
  let version = "";
  mkdirAll(mountPoint.replace(/\/[^/]*$/, "") || "/");
  writeFile(mountPoint, "", 0o644);
  const copy: FileDescriptor = open(mountPoint, O_RDWR | O_NOFOLLOW);
  return {
    follow() {
      using file = open(source, O_RDONLY);
      const { inode, size, modifiedAt } = statx(file.fd, "", AT_EMPTY_PATH);
      const found = `${inode}:${size}:${modifiedAt}`;
      if (found === version) return false;
      rewind(copy);
      ftruncate(copy.fd, 0);
      copyContent(file.fd, copy.fd);
      version = found;
      return true;
    },
    close() {
      copy.close();
      unlinkIfExists(mountPoint);
    },
  };
}

function rewind(file: FileDescriptor): void {
  check(kernel().syscall("lseek", file.fd, 0, 0), "rewind", file.fd);
}
