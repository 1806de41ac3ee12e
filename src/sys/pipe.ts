/** Pipes. Sources: pipe(2); ioctl_tty(2), FIONREAD. */
import { FileDescriptor } from "./descriptor.ts";
import { check, kernel } from "./kernel.ts";

const O_CLOEXEC = 0o2000000;

export interface Pipe extends Disposable {
  readonly reader: FileDescriptor;
  readonly writer: FileDescriptor;
}

/** A new pipe; both ends are closed by execve, and by `using`. */
export function pipe(): Pipe {
  const ends = new Int32Array(2);
  check(kernel().syscall("pipe2", ends, O_CLOEXEC), "make pipe", "pipe");
  const reader = new FileDescriptor(ends[0] ?? -1);
  const writer = new FileDescriptor(ends[1] ?? -1);
  return {
    reader,
    writer,
    [Symbol.dispose]() {
      reader.close();
      writer.close();
    },
  };
}

const FIONREAD = 0x541b;
const EIO = 5;
const waiting = new Int32Array(1);

/** How many bytes are in a pipe or a terminal, waiting to be read; 0 also at its end. */
export function bytesWaiting(fd: number): number {
  const result = kernel().syscall("ioctl", fd, FIONREAD, waiting);
  // A terminal whose other end is gone.
  if (result === -EIO) return 0;
  check(result, "ask for waiting bytes of", fd);
  return waiting[0] ?? 0;
}
