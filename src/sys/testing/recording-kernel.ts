/** A kernel for unit tests: writes down every call and answers as told. */
import type { Kernel, SyscallArgument } from "../kernel.ts";
import type { SyscallName } from "../syscall-numbers.ts";

export interface RecordedCall {
  readonly name: SyscallName;
  readonly args: readonly SyscallArgument[];
}

/** Answers a call: its result, or the negated errno. May write into the buffers among `args`. */
export type Answer = (...args: readonly SyscallArgument[]) => number;

/**
 * Records calls in {@link calls}. Without an answer of their own, calls that make a descriptor return 100, 101, …
 * and all others 0.
 */
export class RecordingKernel implements Kernel {
  readonly architecture: Kernel["architecture"];
  readonly calls: RecordedCall[] = [];
  readonly #answers = new Map<SyscallName, Answer>();
  readonly #addresses = new Map<ArrayBufferLike, number>();
  #nextDescriptor = 100;

  constructor(architecture: Kernel["architecture"] = "x86_64") {
    this.architecture = architecture;
  }

  /** Sets how `name` is answered from now on; a number answers every call alike. */
  answer(name: SyscallName, answer: Answer | number): this {
    this.#answers.set(name, typeof answer === "number" ? () => answer : answer);
    return this;
  }

  syscall(name: SyscallName, ...args: readonly SyscallArgument[]): number {
    // Buffers are copied: the caller may use them again for the next call.
    this.calls.push({
      name,
      args: args.map((arg) => (arg instanceof Uint8Array ? arg.slice() : arg)),
    });
    const answer = this.#answers.get(name);
    if (answer !== undefined) return answer(...args);
    return DESCRIPTOR_MAKERS.has(name) ? this.#nextDescriptor++ : 0;
  }

  /** Made-up addresses: distinct for distinct buffers, equal for the same one. */
  addressOf(buffer: ArrayBuffer | ArrayBufferView): number {
    const [base, offset] = buffer instanceof ArrayBuffer ? [buffer, 0] : [buffer.buffer, buffer.byteOffset];
    let address = this.#addresses.get(base);
    if (address === undefined) {
      address = 0x7000_0000_0000 + this.#addresses.size * 0x1_0000_0000;
      this.#addresses.set(base, address);
    }
    return address + offset;
  }

  /** The names of the calls so far, in order. */
  names(): SyscallName[] {
    return this.calls.map((call) => call.name);
  }
}

const DESCRIPTOR_MAKERS: ReadonlySet<SyscallName> = new Set<SyscallName>([
  "openat",
  "openat2",
  "open_tree",
  "fsopen",
  "fsmount",
  "fspick",
  "socket",
  "accept4",
  "epoll_create1",
  "signalfd4",
  "eventfd2",
  "pidfd_open",
  "memfd_create",
  "dup",
  "dup3",
  "inotify_init1",
]);
