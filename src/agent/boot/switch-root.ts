/**
 * Leaving the initial ramfs.
 *
 * pivot_root(2), which every container needs, does not work from the kernel's first root file system. So a tmpfs becomes the
 * machine's `/`, on top of it; the initial files stay reachable for the agent alone, through a descriptor.
 * Source: Linux Documentation/filesystems/ramfs-rootfs-initramfs.rst, "What is rootfs?".
 */
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { mkdirIfMissing, O_DIRECTORY, O_PATH, open, statfs } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { chdir, chroot } from "../../sys/process.ts";

const RAMFS_MAGIC = 0x858458f6;
const TMPFS_MAGIC = 0x01021994;
const W_OK = 2;
const EROFS = 30;
const MS_NODEV = 4;
const MS_MOVE = 8192;
const NEW_ROOT = "/new-root";

/** Directories of the new root, besides mount points. */
const DIRECTORIES = ["proc", "sys", "dev", "run", "tmp", "etc", "var", "root"];

/** Whether `/` is the initial ramfs. */
export function isInitialRoot(): boolean {
  const type = statfs("/").type;
  return type === RAMFS_MAGIC || type === TMPFS_MAGIC;
}

/** Whether nothing can be made on `/`: a root disk that is checked. */
function isReadOnlyRoot(): boolean {
  return kernel().syscall("faccessat2", -100, "/", W_OK, 0) === -EROFS;
}

/** Moves to a root of our own. @returns the root before: the directory of the initial files. */
export function switchRoot(): FileDescriptor {
  const initial = open("/", O_PATH | O_DIRECTORY);
  const isReadOnly = isReadOnlyRoot();
  if (!isInitialRoot() && !isReadOnly) return initial;
  if (!isReadOnly) mkdirIfMissing(NEW_ROOT, 0o755);
  const mounted = kernel().syscall("mount", "root", NEW_ROOT, "tmpfs", MS_NODEV, "mode=0755");
  check(mounted, "mount new root", NEW_ROOT);
  for (const directory of DIRECTORIES) mkdirIfMissing(`${NEW_ROOT}/${directory}`, 0o755);
  chdir(NEW_ROOT);
  check(kernel().syscall("mount", ".", "/", null, MS_MOVE, null), "move root", NEW_ROOT);
  chroot(".");
  chdir("/");
  return initial;
}
