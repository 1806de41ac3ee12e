/**
 * Processes: cloning, executing, waiting, credentials and limits of the calling process.
 * Sources: clone(2), execve(2), waitid(2), pidfd_open(2), prctl(2), capabilities(7), prlimit(2), close_range(2).
 */
import { FileDescriptor } from "./descriptor.ts";
import { EAGAIN, ECHILD, EINTR, ESRCH } from "./errno.ts";
import { loop } from "./event-loop.ts";
import { readTextFileIfExists } from "./files.ts";
import { check, kernel } from "./kernel.ts";
import { cString, utf8Encode } from "./utf8.ts";

export const CLONE_PIDFD = 0x1000;
export const CLONE_PARENT = 0x8000;
export const CLONE_NEWTIME = 0x80;
export const CLONE_NEWNS = 0x20000;
export const CLONE_NEWCGROUP = 0x2000000;
export const CLONE_NEWUTS = 0x4000000;
export const CLONE_NEWIPC = 0x8000000;
export const CLONE_NEWUSER = 0x10000000;
export const CLONE_NEWPID = 0x20000000;
export const CLONE_NEWNET = 0x40000000;
/** Only for clone3: the child starts in the cgroup (v2) of {@link CloneOptions.cgroup}. */
export const CLONE_INTO_CGROUP = 0x200000000;

export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGQUIT = 3;
export const SIGKILL = 9;
export const SIGUSR1 = 10;
export const SIGPIPE = 13;
export const SIGTERM = 15;
export const SIGCHLD = 17;
export const SIGWINCH = 28;
/** Highest signal number. */
export const SIGNAL_COUNT = 64;

export interface CloneOptions {
  /** `CLONE_NEW*` flags and others; never `CLONE_VM`: the child goes on in a copy of this heap. */
  readonly flags: number;
  /** Descriptor of a cgroup v2 directory for `CLONE_INTO_CGROUP`. */
  readonly cgroup?: number;
  /** Sent to the parent at the end; SIGCHLD unless told. */
  readonly exitSignal?: number;
}

export type CloneResult =
  | { readonly role: "child" }
  | { readonly role: "parent"; readonly pid: number; readonly pidfd: FileDescriptor };

/**
 * Clones this process, as fork(2) does, with a pidfd for the parent.
 *
 * The child has the same heap but shares the parent's epoll instance: it must not use the event loop before
 * `loop.abandon()`, should go on with plain system calls and end in {@link execve} or `exit`.
 * Layout: struct clone_args of clone3(2), 88 bytes.
 */
export function clone(options: CloneOptions): CloneResult {
  learnIgnoredSignals();
  const pidfd = new Int32Array(1);
  const cgroup = options.cgroup;
  const flags = options.flags + CLONE_PIDFD + (cgroup === undefined ? 0 : CLONE_INTO_CGROUP);
  const args = new BigUint64Array(11);
  args[0] = BigInt(flags);
  args[1] = BigInt(kernel().addressOf(pidfd));
  args[4] = BigInt(options.exitSignal ?? SIGCHLD);
  if (cgroup !== undefined) args[10] = BigInt(cgroup);
  const pid = check(kernel().syscall("clone3", args, args.byteLength), "clone", "this process");
  if (pid === 0) return { role: "child" };
  return { role: "parent", pid, pidfd: new FileDescriptor(pidfd[0] ?? -1) };
}

/** A list of C strings and the array of pointers to them; keep the object as long as the pointers are used. */
function pointerList(strings: readonly string[]): {
  readonly pointers: BigUint64Array;
  readonly bytes: Uint8Array;
} {
  const encoded = strings.map(utf8Encode);
  const bytes = new Uint8Array(encoded.reduce((sum, text) => sum + text.length + 1, 0));
  const pointers = new BigUint64Array(strings.length + 1);
  const base = kernel().addressOf(bytes);
  let at = 0;
  encoded.forEach((text, index) => {
    bytes.set(text, at);
    pointers[index] = BigInt(base + at);
    at += text.length + 1;
  });
  return { pointers, bytes };
}

/**
 * Replaces this process by the program at `path`. Comes back only if that fails.
 *
 * @returns the negated errno.
 */
export function execve(path: string, args: readonly string[], environment: readonly string[]): number {
  const argv = pointerList(args);
  const envp = pointerList(environment);
  const result = kernel().syscall("execve", path, argv.pointers, envp.pointers);
  // Used after the call, so that the strings are not collected before it.
  return argv.bytes.length + envp.bytes.length < 0 ? 0 : result;
}

/** {@link execve} of an open file. */
export function fexecve(fd: number, args: readonly string[], environment: readonly string[]): number {
  const argv = pointerList(args);
  const envp = pointerList(environment);
  const empty = cString("");
  const AT_EMPTY_PATH = 0x1000;
  const result = kernel().syscall("execveat", fd, empty, argv.pointers, envp.pointers, AT_EMPTY_PATH);
  return argv.bytes.length + envp.bytes.length < 0 ? 0 : result;
}

/** How a process ended. */
export interface ProcessExit {
  readonly pid: number;
  /** 0–255; 128 + signal if a signal ended it. */
  readonly status: number;
}

const P_ALL = 0;
const P_PID = 1;
const P_PIDFD = 3;
const WNOHANG = 1;
const WEXITED = 4;
const WALL = 0x40000000;
const CLD_EXITED = 1;
const siginfo = new Int32Array(32);

/** @returns undefined if nothing has ended; `no-child` if there is no child to wait for. */
function waitid(kind: number, id: number, flags: number): ProcessExit | "no-child" | undefined {
  siginfo.fill(0);
  for (;;) {
    const result = kernel().syscall("waitid", kind, id, siginfo, flags | WEXITED | WALL, null);
    if (result === -EINTR) continue;
    if (result === -ECHILD) return "no-child";
    if (result === -EAGAIN) return undefined;
    check(result, "wait for process", String(id));
    break;
  }
  // siginfo_t on 64 bits: signo 0, errno 4, code 8, pid 16, uid 20, status 24.
  const pid = siginfo[4] ?? 0;
  if (pid === 0) return undefined;
  const value = siginfo[6] ?? 0;
  return { pid, status: siginfo[2] === CLD_EXITED ? value & 0xff : 128 + (value & 0x7f) };
}

/** Takes one ended child of any pid, without waiting. */
export function reapAny(): ProcessExit | "no-child" | undefined {
  return waitid(P_ALL, 0, WNOHANG);
}

/** Waits, without the loop, for a child. Only where nothing else has to go on. */
export function waitSync(pid: number): ProcessExit | undefined {
  const exit = waitid(P_PID, pid, 0);
  return exit === "no-child" ? undefined : exit;
}

/** Waits for a child by its pidfd. If something else has reaped it, the status is unknown: 255. */
export async function waitForChild(pidfd: FileDescriptor, pid: number): Promise<ProcessExit> {
  for (;;) {
    await loop.readable(pidfd.fd);
    const exit = waitid(P_PIDFD, pidfd.fd, WNOHANG);
    if (exit === "no-child") return { pid, status: 255 };
    if (exit !== undefined) return exit;
  }
}

/** A pidfd for a process that need not be a child. */
export function pidfdOpen(pid: number): FileDescriptor {
  return new FileDescriptor(check(kernel().syscall("pidfd_open", pid, 0), "open process", String(pid)));
}

/** @returns false if the process is gone. */
export function pidfdSendSignal(pidfd: FileDescriptor, signal: number): boolean {
  const result = kernel().syscall("pidfd_send_signal", pidfd.fd, signal, null, 0);
  if (result === -ESRCH) return false;
  check(result, `send signal ${signal} to`, pidfd.fd);
  return true;
}

const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** A copy of what another process has open as `fd`; execve closes it. Source: pidfd_getfd(2). */
export function pidfdGetfd(pidfd: FileDescriptor, fd: number): FileDescriptor {
  const copy = new FileDescriptor(
    check(kernel().syscall("pidfd_getfd", pidfd.fd, fd, 0), "take descriptor of another process", fd),
  );
  kernel().syscall("fcntl", copy.fd, F_SETFD, FD_CLOEXEC);
  return copy;
}

/** @param pid negative for a process group. @returns false if there is no such process. */
export function kill(pid: number, signal: number): boolean {
  const result = kernel().syscall("kill", pid, signal);
  if (result === -ESRCH) return false;
  check(result, `send signal ${signal} to process`, String(pid));
  return true;
}

export function getpid(): number {
  return kernel().syscall("getpid");
}

export function getppid(): number {
  return kernel().syscall("getppid");
}

const SIG_BLOCK = 0;
const SIG_UNBLOCK = 1;
const SIG_SETMASK = 2;

function signalSet(signals: readonly number[]): BigUint64Array {
  const set = new BigUint64Array(1);
  for (const signal of signals) set[0] = (set[0] ?? 0n) | (1n << BigInt(signal - 1));
  return set;
}

export function blockSignals(signals: readonly number[]): void {
  check(kernel().syscall("rt_sigprocmask", SIG_BLOCK, signalSet(signals), null, 8), "block signals", "mask");
}

export function unblockSignals(signals: readonly number[]): void {
  check(
    kernel().syscall("rt_sigprocmask", SIG_UNBLOCK, signalSet(signals), null, 8),
    "unblock signals",
    "mask",
  );
}

const ALL_SIGNALS: readonly number[] = Array.from({ length: SIGNAL_COUNT }, (_, index) => index + 1);

const SIG_DFL = 0n;
const SIG_IGN = 1n;

/** struct sigaction of the kernel: handler, flags, restorer, mask; the same on both architectures. */
function sigaction(signal: number, handler: bigint): number {
  return kernel().syscall("rt_sigaction", signal, new BigUint64Array([handler, 0n, 0n, 0n]), null, 8);
}

export function ignoreSignal(signal: number): void {
  check(sigaction(signal, SIG_IGN), "ignore signal", String(signal));
  ignored?.add(signal);
}

/** The signals that have not their default action; undefined as long as nobody has looked. No handlers are ever set. */
let ignored: Set<number> | undefined;

/** Looks once what this process ignores, also what it was started with, so that a child has little to reset. */
function learnIgnoredSignals(): void {
  if (ignored !== undefined) return;
  const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readTextFileIfExists("/proc/self/status") ?? "")?.[1];
  if (mask === undefined) return;
  const bits = BigInt(`0x${mask}`);
  ignored = new Set(ALL_SIGNALS.filter((signal) => ((bits >> BigInt(signal - 1)) & 1n) === 1n));
}

/** Unblocks all signals and gives each its default action: what a program expects after execve. */
export function resetSignals(): void {
  // SIGKILL and SIGSTOP refuse, which changes nothing.
  for (const signal of ignored ?? ALL_SIGNALS) sigaction(signal, SIG_DFL);
  check(
    kernel().syscall("rt_sigprocmask", SIG_SETMASK, new BigUint64Array(1), null, 8),
    "reset signals",
    "mask",
  );
}

const SFD_CLOEXEC_NONBLOCK = 0o2004000;
const SIGNALFD_SIGINFO_BYTES = 128;

/** Calls `onSignal` for each of `signals` from now on, instead of their actions; until it is disposed of. */
export function listenForSignals(
  signals: readonly number[],
  onSignal: (signal: number, senderPid: number) => void,
): Disposable {
  blockSignals(signals);
  const fd = kernel().syscall("signalfd4", -1, signalSet(signals), 8, SFD_CLOEXEC_NONBLOCK);
  const descriptor = new FileDescriptor(check(fd, "listen for signals", signals.join(" ")));
  const record = new Uint32Array(SIGNALFD_SIGINFO_BYTES / 4);
  const pump = async (): Promise<void> => {
    while (descriptor.isOpen) {
      const count = kernel().syscall("read", descriptor.fd, record, SIGNALFD_SIGINFO_BYTES);
      if (count === SIGNALFD_SIGINFO_BYTES) onSignal(record[0] ?? 0, record[3] ?? 0);
      else await loop.readable(descriptor.fd);
    }
  };
  pump().catch((error: unknown) => {
    // `forget` ends the wait with `closed` when the listener is disposed of.
    if (descriptor.isOpen) throw error;
  });
  return {
    [Symbol.dispose]() {
      if (!descriptor.isOpen) return;
      loop.forget(descriptor.fd);
      descriptor.close();
    },
  };
}

export function setsid(): number {
  return check(kernel().syscall("setsid"), "start session", "this process");
}

export function setpgid(pid: number, group: number): void {
  check(kernel().syscall("setpgid", pid, group), "set process group of", String(pid));
}

export function chdir(path: string): void {
  check(kernel().syscall("chdir", path), "change directory to", path);
}

export function fchdir(fd: number): void {
  check(kernel().syscall("fchdir", fd), "change directory to", fd);
}

export function chroot(path: string): void {
  check(kernel().syscall("chroot", path), "change root to", path);
}

export function getcwd(): string {
  const buffer = new Uint8Array(4096);
  const length = check(kernel().syscall("getcwd", buffer, buffer.length), "read working directory", ".");
  return String.fromCharCode(...buffer.subarray(0, Math.max(0, length - 1)));
}

/** @returns the mask before. */
export function umask(mask: number): number {
  return kernel().syscall("umask", mask);
}

const CLOSE_RANGE_CLOEXEC = 4;
const LAST_FD = 0xffff_ffff;

/** Marks all descriptors from `first` on to be closed by execve. */
export function closeOnExecFrom(first: number): void {
  check(kernel().syscall("close_range", first, LAST_FD, CLOSE_RANGE_CLOEXEC), "mark descriptors from", first);
}

/** Closes all descriptors from `first` on. */
export function closeFrom(first: number): void {
  check(kernel().syscall("close_range", first, LAST_FD, 0), "close descriptors from", first);
}

const F_DUPFD_CLOEXEC = 1030;

/** A copy of `fd` with a number of `lowest` or more. */
export function duplicate(fd: number, lowest = 3): FileDescriptor {
  return new FileDescriptor(check(kernel().syscall("fcntl", fd, F_DUPFD_CLOEXEC, lowest), "duplicate", fd));
}

/** Makes `to` a copy of `from` that survives execve. The two differ. */
export function duplicateTo(from: number, to: number): void {
  check(kernel().syscall("dup3", from, to, 0), `duplicate to ${to}`, from);
}

export const PR_SET_PDEATHSIG = 1;
export const PR_SET_DUMPABLE = 4;
export const PR_SET_KEEPCAPS = 8;
export const PR_SET_NAME = 15;
export const PR_CAPBSET_READ = 23;
export const PR_CAPBSET_DROP = 24;
export const PR_SET_CHILD_SUBREAPER = 36;
export const PR_SET_NO_NEW_PRIVS = 38;
export const PR_CAP_AMBIENT = 47;
export const PR_CAP_AMBIENT_RAISE = 2;
export const PR_CAP_AMBIENT_CLEAR_ALL = 4;

/** prctl(2). @returns its result. */
export function prctl(option: number, arg2 = 0, arg3 = 0, arg4 = 0, arg5 = 0): number {
  return check(kernel().syscall("prctl", option, arg2, arg3, arg4, arg5), "prctl", `option ${option}`);
}

/** Names this process, at most 15 bytes, for ps and top. */
export function setProcessName(name: string): void {
  check(kernel().syscall("prctl", PR_SET_NAME, cString(name), 0, 0, 0), "name process", name);
}

/** Sets the user and the group ids: real, effective and saved. The group goes first, while it is still allowed. */
export function setIds(uid: number, gid: number): void {
  check(kernel().syscall("setresgid", gid, gid, gid), "become group", String(gid));
  check(kernel().syscall("setresuid", uid, uid, uid), "become user", String(uid));
}

export function setgroups(groups: readonly number[]): void {
  check(
    kernel().syscall("setgroups", groups.length, Uint32Array.from(groups)),
    "set groups",
    groups.join(","),
  );
}

/** Capability sets as bit masks: bit n is capability n. */
export interface CapabilitySets {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
}

const LINUX_CAPABILITY_VERSION_3 = 0x20080522;

/** Sets the capabilities of the calling thread. */
export function capset(sets: CapabilitySets): void {
  const header = new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]);
  const low = (set: bigint) => Number(set & 0xffff_ffffn);
  const high = (set: bigint) => Number(set >> 32n);
  const { effective, permitted, inheritable } = sets;
  const data = new Uint32Array([
    low(effective),
    low(permitted),
    low(inheritable),
    high(effective),
    high(permitted),
    high(inheritable),
  ]);
  check(kernel().syscall("capset", header, data), "set capabilities", "this process");
}

/** Largest value of a resource limit: none. */
export const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

/** Sets a limit of process `pid` (0: this one). @param resource `RLIMIT_*` number. */
export function prlimit(pid: number, resource: number, soft: bigint, hard: bigint): void {
  const limit = new BigUint64Array([soft, hard]);
  check(
    kernel().syscall("prlimit64", pid, resource, limit, null),
    `set limit ${resource} of process`,
    String(pid),
  );
}
