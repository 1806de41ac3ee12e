/** Pipes. Source: pipe(2). */
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
