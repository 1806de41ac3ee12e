/** File descriptors that are closed once and never by accident. */
import { KataError } from "../kata-error.ts";
import { kernel } from "./kernel.ts";

/** An open descriptor, owned by who holds it: `using file = open(...)`, or {@link release} to hand it on. */
export class FileDescriptor implements Disposable {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The number. @throws KataError `closed` if it was closed or handed on. */
  get fd(): number {
    if (this.#fd < 0) {
      throw new KataError("closed", { operation: "use file descriptor", object: "it is closed" });
    }
    return this.#fd;
  }

  get isOpen(): boolean {
    return this.#fd >= 0;
  }

  /** Closes it; a second call does nothing. Errors of close(2) are not reported: the descriptor is gone anyway. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    kernel().syscall("close", fd);
  }

  /** The number, which is the caller's to close from now on. */
  release(): number {
    const fd = this.fd;
    this.#fd = -1;
    return fd;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
