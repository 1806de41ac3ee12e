/**
 * The system call conventions that one kernel serves, and the numbers of the calls in each.
 * Sources: linux/audit.h, asm/unistd.h; socketcall(2), ipc(2).
 */
import type { LinuxSeccompArg } from "../types.ts";
import { AARCH64_SYSCALLS } from "./syscall-table-aarch64.ts";
import { I386_SYSCALLS } from "./syscall-table-i386.ts";
import { X32_MISSING_SYSCALLS, X32_OWN_SYSCALLS, X86_64_SYSCALLS } from "./syscall-table-x86-64.ts";

/** The machine's own instruction set. */
export type MachineArchitecture = "x86_64" | "aarch64";

/** `AUDIT_ARCH_*`: what the kernel says in the data of a call. */
export const AUDIT_ARCH_X86_64 = 0xc000_003e;
export const AUDIT_ARCH_I386 = 0x4000_0003;
export const AUDIT_ARCH_AARCH64 = 0xc000_00b7;

/** Numbers from here on are x32's, and say AUDIT_ARCH_X86_64. */
export const X32_BIT = 0x4000_0000;

/** One call that carries several, told apart by its first argument. */
export interface Multiplexed {
  readonly carrier: number;
  readonly condition: LinuxSeccompArg;
}

/** A convention: its tables are unpacked when it is asked for. */
export interface SyscallTable {
  readonly numbers: ReadonlyMap<string, number>;
  /** The highest number that has a name here. */
  readonly last: number;
  readonly multiplexed: ReadonlyMap<string, Multiplexed>;
}

function unpack(text: string): Map<string, number> {
  const numbers = new Map<string, number>();
  let next = 0;
  for (const word of text.split(" ")) {
    if (word.startsWith("+")) next += Number(word.slice(1));
    else numbers.set(word, next++);
  }
  return numbers;
}

function table(
  numbers: ReadonlyMap<string, number>,
  multiplexed: SyscallTable["multiplexed"] = new Map(),
): SyscallTable {
  let last = 0;
  for (const number of numbers.values()) last = Math.max(last, number);
  return { numbers, last, multiplexed };
}

function x32(): SyscallTable {
  const numbers = unpack(X86_64_SYSCALLS);
  for (const name of X32_MISSING_SYSCALLS.split(" ")) numbers.delete(name);
  for (const [name, number] of unpack(X32_OWN_SYSCALLS)) numbers.set(name, number);
  for (const [name, number] of numbers) numbers.set(name, number + X32_BIT);
  return table(numbers);
}

/** Call n of socketcall(2) is at index n − 1. */
const SOCKET_CALLS =
  "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";

/** Calls of ipc(2); the high half of its first argument is a version. */
const IPC_CALLS =
  "+1 semop semget semctl semtimedop +6 msgsnd msgrcv msgget msgctl +6 shmat shmdt shmget shmctl";

function i386(): SyscallTable {
  const numbers = unpack(I386_SYSCALLS);
  const multiplexed = new Map<string, Multiplexed>();
  const socketcall = numbers.get("socketcall");
  const ipc = numbers.get("ipc");
  for (const [name, call] of unpack(`+1 ${SOCKET_CALLS}`)) {
    if (socketcall === undefined) break;
    multiplexed.set(name, { carrier: socketcall, condition: { index: 0, op: "SCMP_CMP_EQ", value: call } });
  }
  for (const [name, call] of unpack(IPC_CALLS)) {
    if (ipc === undefined) break;
    const condition = { index: 0, op: "SCMP_CMP_MASKED_EQ", value: 0xffff, valueTwo: call } as const;
    multiplexed.set(name, { carrier: ipc, condition });
  }
  return table(numbers, multiplexed);
}

/** A convention that a filter covers. */
export interface Convention {
  readonly audit: number;
  readonly table: SyscallTable;
}

/** `SCMP_ARCH_*` names of the specification; most are no business of our machines. */
export const SECCOMP_ARCHITECTURES: readonly string[] =
  "X86 X86_64 X32 ARM AARCH64 LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X SH SHEB PARISC PARISC64 RISCV64"
    .split(" ")
    .map((name) => `SCMP_ARCH_${name}`);

/**
 * What a filter covers on `machine`: its own convention, and those of `listed` that its kernel can serve.
 *
 * 32-bit Arm is never covered: its programs are refused as those of any architecture that is not listed.
 */
export function conventions(machine: MachineArchitecture, listed: readonly string[]): Convention[] {
  if (machine === "aarch64") return [{ audit: AUDIT_ARCH_AARCH64, table: table(unpack(AARCH64_SYSCALLS)) }];
  const covered = [{ audit: AUDIT_ARCH_X86_64, table: table(unpack(X86_64_SYSCALLS)) }];
  if (listed.includes("SCMP_ARCH_X32")) covered.push({ audit: AUDIT_ARCH_X86_64, table: x32() });
  if (listed.includes("SCMP_ARCH_X86")) covered.push({ audit: AUDIT_ARCH_I386, table: i386() });
  return covered;
}
