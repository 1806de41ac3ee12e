/**
 * Mounting by path. What is shown to somebody who must not interfere goes through `new-mount-api.ts`.
 * Sources: mount(2), umount(2), pivot_root(2); Linux UAPI header linux/mount.h.
 */
import { check, kernel } from "./kernel.ts";

export const MS_RDONLY = 0x1;
export const MS_NOSUID = 0x2;
export const MS_NODEV = 0x4;
export const MS_NOEXEC = 0x8;
export const MS_SYNCHRONOUS = 0x10;
export const MS_REMOUNT = 0x20;
export const MS_NOSYMFOLLOW = 0x100;
export const MS_NOATIME = 0x400;
export const MS_NODIRATIME = 0x800;
export const MS_BIND = 0x1000;
export const MS_MOVE = 0x2000;
export const MS_REC = 0x4000;
export const MS_SILENT = 0x8000;
export const MS_UNBINDABLE = 0x20000;
export const MS_PRIVATE = 0x40000;
export const MS_SLAVE = 0x80000;
export const MS_SHARED = 0x100000;
export const MS_RELATIME = 0x200000;
export const MS_STRICTATIME = 0x1000000;

export const MNT_FORCE = 1;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

/**
 * Mounts, remounts, binds or changes the propagation of `target`.
 *
 * @param source device, directory or any word; null where the kernel ignores it.
 * @param type file system; null for a bind, a remount and propagation.
 * @param flags `MS_*` bits.
 * @param data options of the file system, separated by commas; at most 4095 bytes.
 */
export function mount(
  source: string | null,
  target: string,
  type: string | null,
  flags: number,
  data: string | null = null,
): void {
  const result = kernel().syscall("mount", source, target, type, flags, data);
  check(result, `mount ${type ?? source ?? "flags"} at`, target);
}

/** Unmounts what is at `target`. @param flags `MNT_*` and `UMOUNT_*` bits. */
export function umount2(target: string, flags: number): void {
  check(kernel().syscall("umount2", target, flags), "unmount", target);
}

/** Makes `newRoot`, a mount point, the root of this mount namespace, and puts the old root at `putOld`. */
export function pivotRoot(newRoot: string, putOld: string): void {
  check(kernel().syscall("pivot_root", newRoot, putOld), "change root to", newRoot);
}
