/**
 * Whether a user may have a file, by its owner, group and mode. Lists of access control are not asked: they are no part of the mode.
 * Source: path_resolution(7), "Permissions".
 */
import {
  AT_EMPTY_PATH,
  type FileStatus,
  O_PATH,
  open,
  readlink,
  stat,
  statIfExists,
  statx,
} from "../../sys/files.ts";
import type { NamedUser } from "./monitor-user.ts";

/** Bits of one class of the mode. */
export const READ = 4;
export const WRITE = 2;
export const EXECUTE = 1;
/** Of a directory: to go through it. */
const SEARCH = EXECUTE;

/** Whether `user`, who has no capability, may do all of `wanted` with a file of that status. One class decides, the first that fits. */
export function mayAccess(
  { uid, gid, groups }: NamedUser,
  status: Pick<FileStatus, "mode" | "uid" | "gid">,
  wanted: number,
): boolean {
  const isOfGroup = gid === status.gid || groups.includes(status.gid);
  const shift = uid === status.uid ? 6 : isOfGroup ? 3 : 0;
  return ((status.mode >> shift) & wanted) === wanted;
}

/**
 * What is in the way of `user` to `path`: the file itself, or a directory above it that cannot be gone through. Links are followed.
 *
 * @param wanted of the file.
 * @returns undefined if nothing is, or if there is no such file: whoever opens it says so.
 */
export function obstacleTo(
  path: string,
  user: NamedUser,
  wanted: number,
): { readonly path: string; readonly wanted: number } | undefined {
  if (statIfExists(path) === undefined) return undefined;
  using file = open(path, O_PATH);
  const real = readlink(`/proc/self/fd/${file.fd}`);
  for (const directory of new Set([...directoriesAbove(path), ...directoriesAbove(real)])) {
    if (!mayAccess(user, stat(directory), SEARCH)) return { path: directory, wanted: SEARCH };
  }
  return mayAccess(user, statx(file.fd, "", AT_EMPTY_PATH), wanted) ? undefined : { path: real, wanted };
}

/** Of an absolute path, the highest first. */
function directoriesAbove(path: string): string[] {
  const names = path.split("/").slice(1, -1);
  return ["/", ...names.map((_name, index) => `/${names.slice(0, index + 1).join("/")}`)];
}

/** `r`, `w` and `x` for chmod(1). */
export function accessLetters(wanted: number): string {
  return [..."rwx"].filter((_letter, index) => (wanted & (READ >> index)) !== 0).join("");
}
