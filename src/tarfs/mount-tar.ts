/**
 * Mounts a layer of the kind `tar` by a process that answers the kernel for it (FUSE): for hosts and guests whose kernels have no such file
 * system of their own. The hashes are not looked at here: in a guest the disk below is dm-verity's.
 * Source: mount.fuse3(8), fuse(4).
 */
import { hasErrno, KataError } from "../kata-error.ts";
import type { FileDescriptor } from "../sys/descriptor.ts";
import { loop } from "../sys/event-loop.ts";
import { O_CLOEXEC, O_RDONLY, O_RDWR, open } from "../sys/files.ts";
import { check, kernel } from "../sys/kernel.ts";
import { MNT_DETACH, MS_RDONLY, mount } from "../sys/mount.ts";
import { clone, setsid } from "../sys/process.ts";
import { exit } from "../sys/program.ts";
import { answerRequest } from "./answer-request.ts";
import { parseRequest } from "./fuse-protocol.ts";
import { dataBytesOf, ROOT_INODE, TarFilesystem } from "./tar-filesystem.ts";

const SEEK_END = 2;
/** FUSE_MIN_READ_BUFFER: no request of a file system that is not written to is longer. */
const REQUEST_BYTES = 8192;
const EINTR = 4;
const ENOENT = 2;
const ENODEV = 19;

/**
 * Mounts `source`, a file or disk, on `target`, which from then on a child of this process serves until it is unmounted.
 *
 * @param flags of mount(2), besides MS_RDONLY.
 * @param what whether `source` is a layer with its hashes, or what a verified disk shows of one.
 * @returns the child's pid.
 * @throws KataError `invalid-layer`, `system-call`.
 */
export function mountTar(source: string, target: string, flags: number, what: "layer" | "data"): number {
  using layer = open(source, O_RDONLY | O_CLOEXEC);
  const size = check(kernel().syscall("lseek", layer.fd, 0, SEEK_END), "measure layer", source);
  const read = (offset: number, length: number) => readAt(layer.fd, offset, length, source);
  const tar = new TarFilesystem(read, what === "layer" ? dataBytesOf(read, size) : size);
  using channel = openChannel();
  const options = `fd=${channel.fd},rootmode=${tar.inode(ROOT_INODE).mode.toString(8)},user_id=0,group_id=0,allow_other,default_permissions`;
  mount(source, target, "fuse.tar", flags | MS_RDONLY, options);
  try {
    const child = clone({ flags: 0 });
    if (child.role === "child") {
      keepOnly([channel.fd, layer.fd]);
      serveToTheEnd(channel.fd, tar, (offset, into) => fill(layer.fd, offset, into, source));
    }
    child.pidfd.close();
    return child.pid;
  } catch (error) {
    kernel().syscall("umount2", target, MNT_DETACH);
    throw error;
  }
}

/** Closes all descriptors but `kept`: who waits for the end of the parent's output or connections would wait for this process. */
function keepOnly(kept: readonly number[]): void {
  using nothing = open("/dev/null", O_RDWR);
  for (const fd of [0, 1, 2]) check(kernel().syscall("dup3", nothing.fd, fd, 0), "close", "stdio");
  let first = 3;
  for (const fd of [...kept].sort((a, b) => a - b)) {
    if (fd > first) check(kernel().syscall("close_range", first, fd - 1, 0), "close", "descriptors");
    first = Math.max(first, fd + 1);
  }
  check(kernel().syscall("close_range", first, 0xffff_ffff, 0), "close", "descriptors");
}

function openChannel(): FileDescriptor {
  try {
    return open("/dev/fuse", O_RDWR | O_CLOEXEC);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENODEV")) throw error;
    throw new KataError("unsupported", {
      operation: "mount layer",
      object: "/dev/fuse",
      hint: "this kernel has neither the file system tar nor FUSE",
      cause: error,
    });
  }
}

/** The child: on its own, it ends when nobody can ask any more. */
function serveToTheEnd(
  channel: number,
  tar: TarFilesystem,
  readInto: (offset: number, into: Uint8Array) => void,
): never {
  loop.abandon();
  setsid();
  const request = new Uint8Array(REQUEST_BYTES);
  for (;;) {
    const count = kernel().syscall("read", channel, request, request.length);
    // ENOENT: whoever asked has given up. ENODEV: it is unmounted.
    if (count === -EINTR || count === -ENOENT) continue;
    if (count === -ENODEV) return exit(0);
    const parsed = parseRequest(request.subarray(0, check(count, "read request", "/dev/fuse")));
    if (parsed === undefined) continue;
    const answer = answerRequest(tar, parsed, readInto);
    // A request that was given up meanwhile has no place for its answer.
    if (answer !== undefined) kernel().syscall("write", channel, answer, answer.length);
  }
}

function readAt(fd: number, offset: number, length: number, name: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  fill(fd, offset, bytes, name);
  return bytes;
}

function fill(fd: number, offset: number, into: Uint8Array, name: string): void {
  for (let done = 0; done < into.length; ) {
    const rest = into.subarray(done);
    const count = kernel().syscall("pread64", fd, rest, rest.length, offset + done);
    if (count === -EINTR) continue;
    if (check(count, "read layer", name) === 0) {
      throw new KataError("invalid-layer", {
        operation: "read layer",
        object: name,
        hint: "it is shorter than it says",
      });
    }
    done += count;
  }
}
