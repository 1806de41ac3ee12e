/** Loading a system call filter. Source: seccomp(2). */
import { KataError } from "../kata-error.ts";
import { check, kernel, systemCallError } from "./kernel.ts";

const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_GET_ACTION_AVAIL = 2;
export const SECCOMP_FILTER_FLAG_TSYNC = 1;
export const SECCOMP_FILTER_FLAG_LOG = 2;
export const SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4;
/** {@link loadFilter} answers with the descriptor that notifications come from. */
export const SECCOMP_FILTER_FLAG_NEW_LISTENER = 8;
export const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32;

/** struct sock_filter: code u16, jumps u8 and u8, constant u32. */
const INSTRUCTION_BYTES = 8;
/** `BPF_MAXINSNS` of the kernel. */
const MAX_INSTRUCTIONS = 4096;

/**
 * Puts a filter before all further system calls of this process, for good.
 *
 * Needs CAP_SYS_ADMIN or `PR_SET_NO_NEW_PRIVS`.
 *
 * @param program classic BPF, an array of struct sock_filter in this machine's byte order.
 * @param flags `SECCOMP_FILTER_FLAG_*` bits.
 * @returns 0, or a descriptor with `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
 */
export function loadFilter(program: Uint8Array, flags = 0): number {
  const count = program.length / INSTRUCTION_BYTES;
  if (!Number.isInteger(count) || count < 1 || count > MAX_INSTRUCTIONS) {
    throw new KataError("invalid-argument", {
      operation: "load system call filter",
      object: `${program.length} bytes`,
      hint: `a filter has 1 to ${MAX_INSTRUCTIONS} instructions of ${INSTRUCTION_BYTES} bytes`,
    });
  }
  // struct sock_fprog: length u16 and padding, pointer.
  const header = new BigUint64Array([BigInt(count), BigInt(kernel().addressOf(program))]);
  const result = kernel().syscall("seccomp", SECCOMP_SET_MODE_FILTER, flags, header);
  // `program` is read once more, so that it is not collected before the call.
  return check(result, "load system call filter", `${program.length / INSTRUCTION_BYTES} instructions`);
}

/** Whether the kernel knows an action (`SECCOMP_RET_*`). */
export function actionAvailable(action: number): boolean {
  const result = kernel().syscall("seccomp", SECCOMP_GET_ACTION_AVAIL, 0, new Uint32Array([action]));
  if (result === 0) return true;
  // EOPNOTSUPP
  if (result === -95) return false;
  throw systemCallError(result, "ask for system call filter action", `0x${action.toString(16)}`);
}
