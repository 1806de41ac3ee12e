/**
 * Unpacking a layer over the layers below it.
 *
 * Every path is resolved by the kernel as if the image's root were `/` (RESOLVE_IN_ROOT): links of a layer lead nowhere else. What a
 * name ends in is never followed.
 *
 * Sources: OCI image specification, "Image Layer Filesystem Changeset" (whiteouts, opaque directories); openat2(2).
 */
import { KataError } from "../../kata-error.ts";
import { type TarEntry, tarEntries } from "../../policy/layers/tar-entries.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { EEXIST, EINTR } from "../../sys/errno.ts";
import { loop } from "../../sys/event-loop.ts";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  fchmod,
  fchown,
  mknodat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openat,
  openInRoot,
  readDirectoryFd,
  removeTreeAt,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  statx,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";

const WHITEOUT = ".wh.";
/** What empties a directory of the lower layers' entries. */
const OPAQUE = ".wh..wh..opq";
/** Most entries of a layer, and most components of a path. */
const MAX_ENTRIES = 2_000_000;
const MAX_DEPTH = 256;
/** Longest target of a link, bytes. */
const MAX_LINK_BYTES = 4095;
const EOPNOTSUPP = 95;
/** Entries after which others have their turn. */
const ENTRIES_AT_ONCE = 200;

/**
 * Unpacks the archive in the open file `tar`.
 *
 * @param bytes the same archive in memory.
 * @param isLowest whether nothing is below it that it could take away.
 * @throws KataError `invalid-tar`, `invalid-argument` with the entry's name, `system-call` (ENOSPC: the guest is full).
 */
export async function unpackLayer(
  tar: number,
  bytes: Uint8Array,
  root: number,
  isLowest: boolean,
): Promise<void> {
  using target = new LayerTarget(root, tar);
  // What is taken away is the lower layers': before there is anything of this one's.
  if (!isLowest) await eachEntry(bytes, (entry) => target.takeAway(entry));
  await eachEntry(bytes, (entry) => target.put(entry));
}

async function eachEntry(bytes: Uint8Array, use: (entry: TarEntry) => void): Promise<void> {
  let count = 0;
  for (const entry of tarEntries(bytes)) {
    if (++count > MAX_ENTRIES) throw wrong(entry, `a layer has at most ${MAX_ENTRIES} entries`);
    use(entry);
    if (count % ENTRIES_AT_ONCE === 0) await new Promise<void>((resolve) => loop.soon(resolve));
  }
}

class LayerTarget implements Disposable {
  readonly #root: number;
  readonly #tar: number;
  /** The directory of the last entry: most come one after the other. */
  #parent: { readonly path: string; readonly directory: FileDescriptor } | undefined;

  constructor(root: number, tar: number) {
    this.#root = root;
    this.#tar = tar;
  }

  [Symbol.dispose](): void {
    this.#parent?.directory.close();
  }

  /** What `entry` says is not there any more. */
  takeAway(entry: TarEntry): void {
    const path = componentsOf(entry);
    const name = path.pop() ?? "";
    if (!name.startsWith(WHITEOUT)) return;
    const directory = this.#openParent(path, entry);
    if (name === OPAQUE) {
      using readable = openat(directory.fd, ".", O_RDONLY | O_DIRECTORY);
      for (const child of readDirectoryFd(readable.fd, entry.name)) removeTreeAt(directory.fd, child.name);
      return;
    }
    const hidden = name.slice(WHITEOUT.length);
    if (hidden === "" || hidden === "." || hidden === "..") throw wrong(entry, "it takes nothing away");
    this.#forget();
    const parent = this.#openParent(path, entry);
    removeTreeAt(parent.fd, hidden);
  }

  put(entry: TarEntry): void {
    const path = componentsOf(entry);
    const name = path.pop();
    if (name === undefined) {
      using root = openat(this.#root, ".", O_RDONLY | O_DIRECTORY);
      setOwner(root, entry);
      return;
    }
    if (name.startsWith(WHITEOUT)) return;
    const parent = this.#openParent(path, entry).fd;
    if (entry.type === "directory" && makeDirectory(parent, name, entry)) return;
    // Whatever was there is replaced; a directory that this was, or led to, is another one from now on.
    if (removeOther(parent, name)) this.#forget();
    const again = this.#openParent(path, entry).fd;
    this.#make(again, name, entry);
  }

  #make(parent: number, name: string, entry: TarEntry): void {
    switch (entry.type) {
      case "file":
        this.#makeFile(parent, name, entry);
        return;
      case "directory":
        makeDirectory(parent, name, entry);
        return;
      case "symlink":
        if (entry.linkName === "" || entry.linkName.length > MAX_LINK_BYTES) throw wrong(entry, "its target");
        check(kernel().syscall("symlinkat", entry.linkName, parent, name), "link", entry.name);
        setOwnerOfLink(parent, name, entry);
        return;
      case "hardlink": {
        using source = openInRoot(this.#root, rooted(entry.linkName), O_PATH | O_NOFOLLOW);
        const result = kernel().syscall("linkat", source.fd, "", parent, name, AT_EMPTY_PATH);
        check(result, "link", entry.name);
        return;
      }
      case "character":
      case "block":
      case "fifo": {
        const kind = { character: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO }[entry.type];
        mknodat(parent, name, kind | (entry.mode & 0o777), entry.major, entry.minor);
        setOwnerOfLink(parent, name, entry);
        check(kernel().syscall("fchmodat", parent, name, entry.mode), "change mode", entry.name);
        return;
      }
    }
  }

  #makeFile(parent: number, name: string, entry: TarEntry): void {
    using file = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    copyOut(this.#tar, entry.offset, entry.size, file.fd, entry.name);
    setOwner(file, entry);
  }

  /** The directory of an entry; what is missing of it is made, as archives may leave it out. */
  #openParent(path: readonly string[], entry: TarEntry): FileDescriptor {
    const joined = `/${path.join("/")}`;
    if (this.#parent?.path === joined) return this.#parent.directory;
    this.#forget();
    let made = "";
    for (const component of path) {
      if (component === "") continue;
      using parent = openInRoot(this.#root, made === "" ? "/" : made, O_PATH | O_DIRECTORY);
      const result = kernel().syscall("mkdirat", parent.fd, component, 0o755);
      if (result !== -EEXIST) check(result, "make directory of", entry.name);
      made += `/${component}`;
    }
    const directory = openInRoot(this.#root, joined, O_PATH | O_DIRECTORY);
    this.#parent = { path: joined, directory };
    return directory;
  }

  #forget(): void {
    this.#parent?.directory.close();
    this.#parent = undefined;
  }
}

function rooted(path: string): string {
  return path.startsWith("/") ? path : `/${path}`;
}

/** The components of an entry's name; none for the root itself. */
function componentsOf(entry: TarEntry): string[] {
  const components = entry.name.split("/").filter((component) => component !== "" && component !== ".");
  if (components.includes("..") || entry.name.includes("\0"))
    throw wrong(entry, "its name leads out of the image");
  if (components.length > MAX_DEPTH) throw wrong(entry, `its name has more than ${MAX_DEPTH} components`);
  return components;
}

/** Makes a directory, or takes the one that is there. @returns false if something else is there. */
function makeDirectory(parent: number, name: string, entry: TarEntry): boolean {
  const made = kernel().syscall("mkdirat", parent, name, 0o700);
  if (made === -EEXIST) {
    if ((statx(parent, name, AT_SYMLINK_NOFOLLOW).mode & S_IFMT) !== S_IFDIR) return false;
  } else {
    check(made, "make directory", entry.name);
  }
  using directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  setOwner(directory, entry);
  return true;
}

/** Removes what is at `name`. @returns whether it may have been a directory, or a link to one. */
function removeOther(parent: number, name: string): boolean {
  const result = kernel().syscall("faccessat2", parent, name, 0, AT_SYMLINK_NOFOLLOW);
  if (result === -2) return false;
  const kind = statx(parent, name, AT_SYMLINK_NOFOLLOW).mode & S_IFMT;
  removeTreeAt(parent, name);
  return kind === S_IFDIR || kind === 0o120000;
}

const position = new BigInt64Array(1);

function copyOut(from: number, offset: number, length: number, to: number, name: string): void {
  position[0] = BigInt(offset);
  for (let left = length; left > 0; ) {
    const count = kernel().syscall("sendfile", to, from, position, left);
    if (count === -EINTR) continue;
    if (check(count, "write", name) === 0) {
      throw new KataError("unexpected-end", { operation: "unpack image", object: name });
    }
    left -= count;
  }
}

function setOwner({ fd }: FileDescriptor, { uid, gid, mode, mtime, xattrs }: TarEntry): void {
  fchown(fd, uid, gid);
  // After the owner, whose change takes set-id bits away.
  fchmod(fd, mode);
  setAttributes(fd, xattrs);
  check(kernel().syscall("utimensat", fd, null, times(mtime), 0), "set time", fd);
}

/** What a file may bring along: others mean something to the guest's kernel, such as to its overlays. */
function setAttributes(fd: number, xattrs: TarEntry["xattrs"]): void {
  for (const [name, value] of xattrs) {
    if (name !== "security.capability" && !name.startsWith("user.")) continue;
    const result = kernel().syscall("fsetxattr", fd, name, value, value.length, 0);
    // A file system in memory keeps no `user.` attributes before Linux 6.6; nothing depends on them.
    if (result !== -EOPNOTSUPP || !name.startsWith("user.")) check(result, `set ${name} of`, fd);
  }
}

function setOwnerOfLink(parent: number, name: string, { uid, gid, mtime }: TarEntry): void {
  check(kernel().syscall("fchownat", parent, name, uid, gid, AT_SYMLINK_NOFOLLOW), "change owner", name);
  check(kernel().syscall("utimensat", parent, name, times(mtime), AT_SYMLINK_NOFOLLOW), "set time", name);
}

/** `struct timespec` twice: of access and of change. */
function times(seconds: number): BigInt64Array {
  return new BigInt64Array([BigInt(seconds), 0n, BigInt(seconds), 0n]);
}

function wrong(entry: TarEntry, hint: string): KataError {
  return new KataError("invalid-argument", {
    operation: "unpack image",
    object: JSON.stringify(entry.name.slice(0, 200)),
    hint,
  });
}
