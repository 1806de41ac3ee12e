/**
 * A copy of a directory that follows its source, in steps that a reader may trust.
 *
 * Kubernetes writes a ConfigMap or Secret into a new directory and then exchanges one link, `..data`, for another. The copy
 * keeps that order: new directories and files first, each under its name only when it is complete; then links; what is gone
 * goes last. So a reader of the copy sees either all of the old state or all of the new one, as a reader of the source does.
 * Source: Kubernetes, pkg/volume/util/atomic_writer.go (what it writes, in its order).
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  type FileStatus,
  fchmod,
  fchown,
  mkdirat,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  openat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  readDirectoryFd,
  readlinkat,
  removeTreeAt,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  statx,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";

const MAX_DEPTH = 64;
/** Most entries of a volume that is watched; a ConfigMap has at most 1 MiB. */
const MAX_ENTRIES = 100_000;
/** Copied by one call, bytes. */
const CHUNK_BYTES = 1 << 20;
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
/** No name of Kubernetes': it is below the copy for a moment only. */
const TEMPORARY = "..kata-new";

/** The link that Kubernetes exchanges when all else is in place. */
const DATA_LINK = "..data";

interface Entry {
  readonly kind: "directory" | "file" | "link";
  readonly status: FileStatus;
  /** What tells whether it has changed. */
  readonly version: string;
}

/** Entries by their paths, parents before what is in them. */
type Snapshot = Map<string, Entry>;

export class WatchedTree {
  readonly #source: number;
  readonly #copy: number;
  /** What the copy holds. */
  readonly #held: Snapshot = new Map();
  #lastTarget: string | undefined;

  /** @param source and copy are directories; they stay the caller's. */
  constructor(source: number, copy: number) {
    this.#source = source;
    this.#copy = copy;
  }

  /**
   * Brings the copy up to date.
   *
   * @returns whether anything was changed. If the source changes meanwhile, the copy's links stay at a state that the source
   * had, and the next call goes on from there.
   * @throws KataError what the source could not be read for.
   */
  follow(): boolean {
    const target = this.#dataTarget();
    // A volume of Kubernetes' changes by this link alone.
    if (target !== undefined && target === this.#lastTarget) return false;
    try {
      const now = takeSnapshot(this.#source);
      // Otherwise what the old link leads to may be missing in it.
      if (this.#dataTarget() !== target) return false;
      const changed = this.#apply(now);
      this.#lastTarget = target;
      return changed;
    } catch (error) {
      // Something has vanished while it was looked at: the source is at its next change.
      if (hasErrno(error, "ENOENT")) return false;
      throw error;
    }
  }

  #dataTarget(): string | undefined {
    try {
      return readlinkat(this.#source, DATA_LINK);
    } catch (error) {
      if (hasErrno(error, "ENOENT", "EINVAL")) return undefined;
      throw error;
    }
  }

  #apply(now: Snapshot): boolean {
    const changes = [...now].filter(([path, entry]) => this.#held.get(path)?.version !== entry.version);
    const gone = [...this.#held.keys()].filter((path) => !now.has(path));
    for (const kind of ["directory", "file", "link"] as const) {
      for (const [path, entry] of changes) {
        if (entry.kind !== kind) continue;
        this.#put(path, entry);
        this.#held.set(path, entry);
      }
    }
    for (const path of gone.reverse()) {
      this.#remove(path);
      this.#held.delete(path);
    }
    return changes.length + gone.length > 0;
  }

  #put(path: string, entry: Entry): void {
    const { parent, name } = split(path);
    using directory = openDirectory(this.#copy, parent);
    const before = this.#held.get(path);
    if (before !== undefined && before.kind !== entry.kind) removeTreeAt(directory.fd, name);
    if (entry.kind === "directory") {
      if (before?.kind !== "directory") mkdirat(directory.fd, name, 0o700);
      using made = openat(directory.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      takeOver(made.fd, entry.status);
      return;
    }
    using from = openDirectory(this.#source, parent);
    if (entry.kind === "file") copyFile(from.fd, name, directory.fd);
    else {
      kernel().syscall("unlinkat", directory.fd, TEMPORARY, 0);
      const target = readlinkat(from.fd, name);
      check(kernel().syscall("symlinkat", target, directory.fd, TEMPORARY), "make link", path);
      const { uid, gid } = entry.status;
      const owned = kernel().syscall("fchownat", directory.fd, TEMPORARY, uid, gid, AT_SYMLINK_NOFOLLOW);
      check(owned, "change owner of", path);
    }
    const renamed = kernel().syscall("renameat2", directory.fd, TEMPORARY, directory.fd, name, 0);
    check(renamed, "replace", path);
  }

  #remove(path: string): void {
    const { parent, name } = split(path);
    try {
      using directory = openDirectory(this.#copy, parent);
      removeTreeAt(directory.fd, name);
    } catch (error) {
      // With the directory that it was in.
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  }
}

function split(path: string): { readonly parent: string; readonly name: string } {
  const slash = path.lastIndexOf("/");
  return { parent: slash < 0 ? "." : path.slice(0, slash), name: path.slice(slash + 1) };
}

function openDirectory(root: number, path: string) {
  return openat2(root, path, { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve: RESOLVE });
}

function copyFile(from: number, name: string, into: number): void {
  using source = openat2(from, name, { flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK, resolve: RESOLVE });
  using target = openat(into, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  copyContent(source.fd, target.fd);
  takeOver(target.fd, statx(source.fd, "", AT_EMPTY_PATH));
}

/** Copies the rest of `from` to `to`. */
export function copyContent(from: number, to: number): void {
  while (check(kernel().syscall("sendfile", to, from, null, CHUNK_BYTES), "copy file", from) > 0);
}

function takeOver(fd: number, { uid, gid, mode }: FileStatus): void {
  fchown(fd, uid, gid);
  fchmod(fd, mode & 0o7777);
}

function takeSnapshot(source: number): Snapshot {
  const entries = new Map<string, Entry>();
  walk(source, "", 0, entries);
  return entries;
}

function walk(root: number, path: string, depth: number, entries: Map<string, Entry>): void {
  if (depth > MAX_DEPTH) throw tooMuch(`it is deeper than ${MAX_DEPTH} directories`);
  using directory = openDirectory(root, path === "" ? "." : path);
  for (const { name } of readDirectoryFd(directory.fd, path)) {
    if (entries.size >= MAX_ENTRIES) throw tooMuch(`it has more than ${MAX_ENTRIES} entries`);
    const inner = path === "" ? name : `${path}/${name}`;
    const status = statx(directory.fd, name, AT_SYMLINK_NOFOLLOW);
    const { mode, uid, gid, inode, size, modifiedAt } = status;
    const rights = `${mode}:${uid}:${gid}`;
    switch (mode & S_IFMT) {
      case S_IFDIR:
        entries.set(inner, { kind: "directory", status, version: rights });
        walk(root, inner, depth + 1, entries);
        break;
      case S_IFLNK:
        entries.set(inner, { kind: "link", status, version: `${rights}:${readlinkat(directory.fd, name)}` });
        break;
      case S_IFREG:
        entries.set(inner, { kind: "file", status, version: `${rights}:${inode}:${size}:${modifiedAt}` });
        break;
      default:
      // Sockets, pipes and devices are not what a ConfigMap or Secret holds.
    }
  }
}

function tooMuch(hint: string): KataError {
  return new KataError("invalid-argument", { operation: "watch volume", object: "its source", hint });
}
