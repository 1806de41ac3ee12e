/**
 * Unpacking what a guest sends, which may be hostile: nothing is written outside of one directory, through no link, and no more than
 * was agreed upon. Nothing becomes a device, and nothing set-id.
 */
import { KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { ENOENT } from "../../sys/errno.ts";
import {
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFMT,
  statx,
  writeAll,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import type { TarHeader, TarSink } from "./tar-format.ts";

export interface UnpackLimits {
  /** Content together. */
  readonly bytes: number;
  readonly entries: number;
}

const MAX_DEPTH = 256;
const PERMISSIONS = 0o777;
const EEXIST = 17;

export interface UnpackRequest {
  /** The directory to unpack into; a descriptor that stays the caller's. */
  readonly directory: number;
  /** What every entry begins with in the archive, and what that is to be called here. */
  readonly name: string;
  readonly calledHere: string;
  readonly limits: UnpackLimits;
  /** Told of entries that are left out. */
  readonly onSkipped: (name: string, why: string) => void;
}

export class Unpacker implements TarSink {
  readonly #request: UnpackRequest;
  #file: FileDescriptor | undefined;
  #mode = 0;
  #bytes = 0;
  #entries = 0;

  constructor(request: UnpackRequest) {
    this.#request = request;
  }

  /** How many entries were written. */
  get entries(): number {
    return this.#entries;
  }

  entry(header: TarHeader): void {
    const { limits, onSkipped } = this.#request;
    this.#entries++;
    this.#bytes += header.size;
    if (this.#entries > limits.entries || this.#bytes > limits.bytes) {
      throw new KataError("out-of-range", {
        operation: "copy from the guest",
        object: `more than ${limits.entries} entries or ${limits.bytes} bytes`,
        hint: "copy a smaller part",
      });
    }
    const steps = this.#place(header.name);
    const [name = "", parents] = [steps.at(-1), steps.slice(0, -1)];
    switch (header.kind) {
      case "directory":
        this.#makeDirectory(parents, name, header.mode);
        return;
      case "file": {
        using parent = this.#open(parents);
        removeFile(parent.fd, name);
        this.#mode = header.mode & PERMISSIONS;
        this.#file = openat(parent.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
        return;
      }
      case "symbolic-link": {
        using parent = this.#open(parents);
        removeFile(parent.fd, name);
        check(kernel().syscall("symlinkat", header.target, parent.fd, name), "make link", name);
        return;
      }
      case "hard-link": {
        const target = this.#place(header.target);
        using parent = this.#open(parents);
        using other = this.#open(target.slice(0, -1));
        removeFile(parent.fd, name);
        // Not followed: a link to a link is another name of it.
        check(
          kernel().syscall("linkat", other.fd, target.at(-1) ?? "", parent.fd, name, 0),
          "make link",
          name,
        );
        return;
      }
      case "other":
        onSkipped(header.name, "it is no file, directory or link");
    }
  }

  content(bytes: Uint8Array): void {
    if (this.#file !== undefined) writeAll(this.#file.fd, bytes);
  }

  end(): void {
    if (this.#file === undefined) return;
    check(kernel().syscall("fchmod", this.#file.fd, this.#mode), "set mode of", "file");
    this.#file.close();
    this.#file = undefined;
  }

  /** Gives back what an archive that broke off has left open. */
  [Symbol.dispose](): void {
    this.#file?.close();
  }

  /** The steps from the directory to an entry. @throws KataError `permission-denied` for a name that leads elsewhere. */
  #place(path: string): string[] {
    const { name, calledHere } = this.#request;
    const steps = path.split("/").filter((step) => step !== "" && step !== ".");
    const leadsOut = steps.some((step) => step === ".." || step.includes("\0"));
    const inside = name === "." ? steps : steps.slice(1);
    if (leadsOut || steps.length > MAX_DEPTH || (name !== "." && steps[0] !== name) || path.startsWith("/")) {
      throw new KataError("permission-denied", {
        operation: "copy from the guest",
        object: JSON.stringify(path.slice(0, 200)),
        hint: "the guest sent a name that was not asked for",
      });
    }
    return [calledHere, ...inside];
  }

  #open(steps: readonly string[]): FileDescriptor {
    const path = steps.length === 0 ? "." : steps.join("/");
    // A link that came with the archive, or was there before, would lead out of it.
    const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    return openat2(this.#request.directory, path, { flags: O_PATH | O_DIRECTORY, resolve });
  }

  #makeDirectory(parents: readonly string[], name: string, mode: number): void {
    using parent = this.#open(parents);
    // Its owner has to fill it.
    const permissions = (mode & PERMISSIONS) | 0o700;
    const made = kernel().syscall("mkdirat", parent.fd, name, permissions);
    if (made === -EEXIST && isDirectory(parent.fd, name)) return;
    if (made === -EEXIST) {
      removeFile(parent.fd, name);
      check(kernel().syscall("mkdirat", parent.fd, name, permissions), "make directory", name);
    } else {
      check(made, "make directory", name);
    }
    using directory = openat(parent.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    check(kernel().syscall("fchmod", directory.fd, permissions), "set mode of", name);
  }
}

function isDirectory(parent: number, name: string): boolean {
  return (statx(parent, name, AT_SYMLINK_NOFOLLOW).mode & S_IFMT) === S_IFDIR;
}

/** What a file is about to take the place of; an empty directory, too. */
function removeFile(parent: number, name: string): void {
  const removed = kernel().syscall("unlinkat", parent, name, 0);
  if (removed === 0 || removed === -ENOENT) return;
  check(kernel().syscall("unlinkat", parent, name, AT_REMOVEDIR), "replace", name);
}
