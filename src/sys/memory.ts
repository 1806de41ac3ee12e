/**
 * Memory outside of the engine's heap: mapped files and devices, files that are only memory.
 * Sources: mmap(2), munmap(2), memfd_create(2), fcntl(2) "File Sealing".
 */
import { KataError } from "../kata-error.ts";
import { FileDescriptor } from "./descriptor.ts";
import { writeAll } from "./files.ts";
import { check, kernel } from "./kernel.ts";
import { nativeHost } from "./native.ts";

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;

/** Mapped memory. Unmapped only when told: `using`, {@link unmap}, or the process's end. */
export class MemoryMapping implements Disposable {
  readonly address: number;
  readonly length: number;
  #buffer: ArrayBuffer | undefined;

  constructor(address: number, length: number) {
    if (nativeHost === undefined) {
      throw new KataError("unavailable", { operation: "map memory", object: "this is not the engine host" });
    }
    this.address = address;
    this.length = length;
    this.#buffer = nativeHost.pageOf(address, length);
  }

  /** The memory. Neither it nor a view of it may be used after {@link unmap}: the process would crash. */
  get buffer(): ArrayBuffer {
    if (this.#buffer === undefined) {
      throw new KataError("closed", { operation: "use mapped memory", object: "it is unmapped" });
    }
    return this.#buffer;
  }

  unmap(): void {
    if (this.#buffer === undefined) return;
    this.#buffer = undefined;
    check(kernel().syscall("munmap", this.address, this.length), "unmap", `${this.length} bytes`);
  }

  [Symbol.dispose](): void {
    this.unmap();
  }
}

function mmap(length: number, protection: number, flags: number, fd: number, offset: number): MemoryMapping {
  const address = kernel().syscall("mmap", null, length, protection, flags, fd, offset);
  return new MemoryMapping(
    check(address, `map ${length} bytes of`, fd < 0 ? "anonymous memory" : fd),
    length,
  );
}

/** New memory, all zero, aligned to pages. */
export function mapAnonymous(length: number): MemoryMapping {
  return mmap(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/** The memory that a device, or an open file, has at `offset` (a multiple of the page size): reads and writes reach it. */
export function mapDevice(fd: number, length: number, offset = 0): MemoryMapping {
  return mmap(length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
}

/** A file's content, to be read only. */
export function mapFile(fd: number, length: number, offset = 0): MemoryMapping {
  return mmap(length, PROT_READ, MAP_PRIVATE, fd, offset);
}

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;

export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
export const F_SEAL_WRITE = 8;
/** Mappings that exist go on being writable. */
export const F_SEAL_FUTURE_WRITE = 0x10;

/** A file in memory that can be sealed. @param name shown in /proc, at most 249 bytes. */
export function memfdCreate(name: string): FileDescriptor {
  const fd = kernel().syscall("memfd_create", name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  return new FileDescriptor(check(fd, "make memory file", name));
}

/** Forbids changes of a memory file, for everybody and for good. @param seals `F_SEAL_*` bits. */
export function addSeals(fd: number, seals: number): void {
  check(kernel().syscall("fcntl", fd, F_ADD_SEALS, seals), "seal", fd);
}

/** `F_SEAL_*` bits of a memory file. */
export function getSeals(fd: number): number {
  return check(kernel().syscall("fcntl", fd, F_GET_SEALS, 0), "read seals of", fd);
}

/** A memory file with `content` that nobody can change any more. Its offset is at its start. */
export function sealedMemfd(name: string, content: Uint8Array): FileDescriptor {
  const file = memfdCreate(name);
  try {
    writeAll(file.fd, content);
    addSeals(file.fd, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    check(kernel().syscall("lseek", file.fd, 0, 0), "rewind", name);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}
