/**
 * The one way to the kernel.
 *
 * Every function of this folder makes its system calls through {@link kernel}: the real one in the engine host, a
 * recording one in tests (`testing/recording-kernel.ts`), which needs neither Linux nor root.
 */
import { KataError } from "../kata-error.ts";
import { errnoName } from "./errno.ts";
import { nativeHost } from "./native.ts";
import { SYSCALL_NUMBERS, type SyscallName } from "./syscall-numbers.ts";

/** Strings go as NUL-terminated UTF-8, buffers as the address of their first byte, null as 0. */
export type SyscallArgument = number | bigint | string | ArrayBuffer | ArrayBufferView | null;

export interface Kernel {
  readonly architecture: "x86_64" | "aarch64";
  /** The call's result; a failure is the negated errno (`-2` for ENOENT). Never throws for a failed call. */
  syscall(name: SyscallName, ...args: readonly SyscallArgument[]): number;
  /**
   * The address of a buffer's first byte, for a pointer inside a structure. It stays valid as long as the buffer is
   * referenced: pass the structure and keep the buffer in a variable that is used after the call.
   */
  addressOf(buffer: ArrayBuffer | ArrayBufferView): number;
}

function realKernel(): Kernel {
  const host = nativeHost;
  if (host === undefined) {
    const unavailable = (): never => {
      throw new KataError("unavailable", {
        operation: "system call",
        object: "this is not the engine host",
        hint: "use a RecordingKernel in unit tests",
      });
    };
    return { architecture: "x86_64", syscall: unavailable, addressOf: unavailable };
  }
  const { syscall, addressOf, architecture } = host;
  host.nameSyscalls(SYSCALL_NUMBERS);
  return { architecture, syscall, addressOf };
}

let current: Kernel = realKernel();

/** The kernel in use. */
export function kernel(): Kernel {
  return current;
}

/** Puts `replacement` in the place of the kernel until the result is disposed of. */
export function useKernel(replacement: Kernel): Disposable {
  const previous = current;
  current = replacement;
  return {
    [Symbol.dispose]() {
      current = previous;
    },
  };
}

/** A system call that failed, as an error: `code` is `system-call`, `errno` the kernel's name for the reason. */
export function systemCallError(
  result: number,
  operation: string,
  object: string | number,
  hint?: string,
): KataError {
  const shown = typeof object === "number" ? `fd ${object}` : object;
  return new KataError("system-call", { operation, object: shown, errno: errnoName(-result), hint });
}

/** `result` as it is, if the call succeeded. @throws KataError `system-call` with the errno otherwise. */
export function check(result: number, operation: string, object: string | number): number {
  if (result < 0) throw systemCallError(result, operation, object);
  return result;
}
