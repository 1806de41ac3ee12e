/**
 * System call numbers.
 *
 * Only calls that both architectures have are listed, so nothing here can be used on one and be missing on the other.
 * Source: Linux UAPI headers, asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64).
 */

/** Set by the build to the architecture a program is for; absent under Node. */
declare const KATA_ARCHITECTURE: "x86_64" | "aarch64" | undefined;

// biome-ignore format: a table
const X86_64 = {
  accept4: 288, add_key: 248, adjtimex: 159, bind: 49, bpf: 321, brk: 12, capget: 125, capset: 126, chdir: 80,
  chroot: 161, clock_gettime: 228, clock_nanosleep: 230, clock_settime: 227, clone: 56, clone3: 435, close: 3,
  close_range: 436, connect: 42, copy_file_range: 326, delete_module: 176, dup: 32, dup3: 292,
  epoll_create1: 291, epoll_ctl: 233, epoll_pwait: 281, eventfd2: 290, execve: 59, execveat: 322, exit: 60,
  exit_group: 231, faccessat2: 439, fallocate: 285, fchdir: 81, fchmod: 91, fchmodat: 268, fchown: 93,
  fchownat: 260, fcntl: 72, fdatasync: 75, fgetxattr: 193, finit_module: 313, flistxattr: 196, flock: 73,
  fsconfig: 431, fsetxattr: 190, fsmount: 432, fsopen: 430, fspick: 433, fstatfs: 138, fsync: 74,
  ftruncate: 77, futex: 202, getcwd: 79, getdents64: 217, getegid: 108, geteuid: 107, getgid: 104,
  getgroups: 115, getitimer: 36, getpeername: 52, getpgid: 121, getpid: 39, getppid: 110, getpriority: 140,
  getrandom: 318, getrusage: 98, getsid: 124, getsockname: 51, getsockopt: 55, gettid: 186, gettimeofday: 96,
  getuid: 102, getxattr: 191, init_module: 175, inotify_add_watch: 254, inotify_init1: 294,
  inotify_rm_watch: 255, io_setup: 206, ioctl: 16, ioprio_get: 252, ioprio_set: 251, keyctl: 250, kill: 62,
  lgetxattr: 192, linkat: 265, listen: 50, listmount: 458, listxattr: 194, llistxattr: 195, lseek: 8,
  lsetxattr: 189, madvise: 28, memfd_create: 319, mkdirat: 258, mknodat: 259, mmap: 9, mount: 165,
  mount_setattr: 442, move_mount: 429, mprotect: 10, mremap: 25, munmap: 11, name_to_handle_at: 303,
  open_by_handle_at: 304, open_tree: 428, openat: 257, openat2: 437, personality: 135, pidfd_getfd: 438,
  pidfd_open: 434, pidfd_send_signal: 424, pipe2: 293, pivot_root: 155, ppoll: 271, prctl: 157, pread64: 17,
  prlimit64: 302, pwrite64: 18, quotactl_fd: 443, read: 0, readlinkat: 267, readv: 19, reboot: 169,
  recvfrom: 45, recvmsg: 47, removexattr: 197, renameat2: 316, rt_sigaction: 13, rt_sigprocmask: 14,
  rt_sigtimedwait: 128, sched_getaffinity: 204, sched_getattr: 315, sched_setaffinity: 203,
  sched_setattr: 314, sched_yield: 24, seccomp: 317, sendfile: 40, sendmsg: 46, sendto: 44,
  set_mempolicy: 238, set_tid_address: 218, setdomainname: 171, setgid: 106, setgroups: 116, sethostname: 170,
  setns: 308, setpgid: 109, setpriority: 141, setresgid: 119, setresuid: 117, setsid: 112, setsockopt: 54,
  settimeofday: 164, setuid: 105, setxattr: 188, shutdown: 48, signalfd4: 289, socket: 41, socketpair: 53,
  splice: 275, statfs: 137, statmount: 457, statx: 332, swapoff: 168, swapon: 167, symlinkat: 266, sync: 162,
  syncfs: 306, sysinfo: 99, syslog: 103, tee: 276, tgkill: 234, timerfd_create: 283, timerfd_settime: 286,
  times: 100, tkill: 200, umask: 95, umount2: 166, uname: 63, unlinkat: 263, unshare: 272, utimensat: 280,
  wait4: 61, waitid: 247, write: 1, writev: 20,
} as const;

export type SyscallName = keyof typeof X86_64;

// biome-ignore format: a table
const AARCH64: Readonly<Record<SyscallName, number>> = {
  accept4: 242, add_key: 217, adjtimex: 171, bind: 200, bpf: 280, brk: 214, capget: 90, capset: 91, chdir: 49,
  chroot: 51, clock_gettime: 113, clock_nanosleep: 115, clock_settime: 112, clone: 220, clone3: 435,
  close: 57, close_range: 436, connect: 203, copy_file_range: 285, delete_module: 106, dup: 23, dup3: 24,
  epoll_create1: 20, epoll_ctl: 21, epoll_pwait: 22, eventfd2: 19, execve: 221, execveat: 281, exit: 93,
  exit_group: 94, faccessat2: 439, fallocate: 47, fchdir: 50, fchmod: 52, fchmodat: 53, fchown: 55,
  fchownat: 54, fcntl: 25, fdatasync: 83, fgetxattr: 10, finit_module: 273, flistxattr: 13, flock: 32,
  fsconfig: 431, fsetxattr: 7, fsmount: 432, fsopen: 430, fspick: 433, fstatfs: 44, fsync: 82, ftruncate: 46,
  futex: 98, getcwd: 17, getdents64: 61, getegid: 177, geteuid: 175, getgid: 176, getgroups: 158,
  getitimer: 102, getpeername: 205, getpgid: 155, getpid: 172, getppid: 173, getpriority: 141, getrandom: 278,
  getrusage: 165, getsid: 156, getsockname: 204, getsockopt: 209, gettid: 178, gettimeofday: 169, getuid: 174,
  getxattr: 8, init_module: 105, inotify_add_watch: 27, inotify_init1: 26, inotify_rm_watch: 28, io_setup: 0,
  ioctl: 29, ioprio_get: 31, ioprio_set: 30, keyctl: 219, kill: 129, lgetxattr: 9, linkat: 37, listen: 201,
  listmount: 458, listxattr: 11, llistxattr: 12, lseek: 62, lsetxattr: 6, madvise: 233, memfd_create: 279,
  mkdirat: 34, mknodat: 33, mmap: 222, mount: 40, mount_setattr: 442, move_mount: 429, mprotect: 226,
  mremap: 216, munmap: 215, name_to_handle_at: 264, open_by_handle_at: 265, open_tree: 428, openat: 56,
  openat2: 437, personality: 92, pidfd_getfd: 438, pidfd_open: 434, pidfd_send_signal: 424, pipe2: 59,
  pivot_root: 41, ppoll: 73, prctl: 167, pread64: 67, prlimit64: 261, pwrite64: 68, quotactl_fd: 443,
  read: 63, readlinkat: 78, readv: 65, reboot: 142, recvfrom: 207, recvmsg: 212, removexattr: 14,
  renameat2: 276, rt_sigaction: 134, rt_sigprocmask: 135, rt_sigtimedwait: 137, sched_getaffinity: 123,
  sched_getattr: 275, sched_setaffinity: 122, sched_setattr: 274, sched_yield: 124, seccomp: 277,
  sendfile: 71, sendmsg: 211, sendto: 206, set_mempolicy: 237, set_tid_address: 96, setdomainname: 162,
  setgid: 144, setgroups: 159, sethostname: 161, setns: 268, setpgid: 154, setpriority: 140, setresgid: 149,
  setresuid: 147, setsid: 157, setsockopt: 208, settimeofday: 170, setuid: 146, setxattr: 5, shutdown: 210,
  signalfd4: 74, socket: 198, socketpair: 199, splice: 76, statfs: 43, statmount: 457, statx: 291,
  swapoff: 225, swapon: 224, symlinkat: 36, sync: 81, syncfs: 267, sysinfo: 179, syslog: 116, tee: 77,
  tgkill: 131, timerfd_create: 85, timerfd_settime: 86, times: 153, tkill: 130, umask: 166, umount2: 39,
  uname: 160, unlinkat: 35, unshare: 97, utimensat: 88, wait4: 260, waitid: 95, write: 64, writev: 66,
};

/** Of the architecture that the program was built for. */
export const SYSCALL_NUMBERS: Readonly<Record<SyscallName, number>> =
  typeof KATA_ARCHITECTURE !== "undefined" && KATA_ARCHITECTURE === "aarch64" ? AARCH64 : X86_64;

/** Both tables, for the test that compares them with the headers. */
export const syscallTables = { x86_64: X86_64, aarch64: AARCH64 } as const;
