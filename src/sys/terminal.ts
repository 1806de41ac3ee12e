/**
 * Terminals. Layouts are the same on x86_64 and aarch64.
 * Sources: pty(7), pts(4), ioctl_tty(2), termios(3); Linux UAPI header asm-generic/termbits.h.
 */
import { FileDescriptor } from "./descriptor.ts";
import { O_CLOEXEC, O_NOCTTY, O_RDWR, open } from "./files.ts";
import { check, kernel } from "./kernel.ts";

const TCGETS = 0x5401;
const TCSETS = 0x5402;
const TIOCSCTTY = 0x540e;
const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;
const TIOCGPTPEER = 0x5441;
const TIOCSPTLCK = 0x40045431;

export interface TerminalPair {
  /** What the user's side reads and writes. */
  readonly master: FileDescriptor;
  /** What the program has as its terminal. */
  readonly slave: FileDescriptor;
}

/** Makes a terminal. @param multiplexer of the devpts that it shall be in: `/dev/ptmx`, `<root>/dev/pts/ptmx`. */
export function openTerminal(multiplexer = "/dev/ptmx"): TerminalPair {
  const master = open(multiplexer, O_RDWR | O_NOCTTY);
  try {
    return { master, slave: openTerminalPeer(master.fd) };
  } catch (error) {
    master.close();
    throw error;
  }
}

/** The other end of an open multiplexer, reached by no path that somebody could have put something else at. */
export function openTerminalPeer(master: number): FileDescriptor {
  check(kernel().syscall("ioctl", master, TIOCSPTLCK, new Int32Array([0])), "unlock terminal", master);
  const flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
  return new FileDescriptor(
    check(kernel().syscall("ioctl", master, TIOCGPTPEER, flags), "open peer of terminal", master),
  );
}

/** Characters. */
export interface WindowSize {
  readonly rows: number;
  readonly columns: number;
}

/** Layout: struct winsize, four u16: rows, columns, and pixels of both, which nobody sets. */
export function getWindowSize(fd: number): WindowSize {
  const words = new Uint16Array(4);
  check(kernel().syscall("ioctl", fd, TIOCGWINSZ, words), "read size of terminal", fd);
  return { rows: words[0] ?? 0, columns: words[1] ?? 0 };
}

/** Sets the size of a terminal; its foreground processes get SIGWINCH. */
export function setWindowSize(fd: number, { rows, columns }: WindowSize): void {
  const words = new Uint16Array([rows, columns, 0, 0]);
  check(kernel().syscall("ioctl", fd, TIOCSWINSZ, words), "set size of terminal", fd);
}

/** Makes a terminal that of the calling session, whose leader this process is. */
export function setControllingTerminal(fd: number): void {
  check(kernel().syscall("ioctl", fd, TIOCSCTTY, 0), "take as controlling terminal", fd);
}

/** struct termios of the kernel: input, output, control and local modes u32, line u8, 19 control characters. */
const TERMIOS_BYTES = 36;
const CONTROL_CHARACTERS = 17;
const VTIME = 5;
const VMIN = 6;
/** IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON */
const RAW_INPUT_OFF = 0o2753;
const OPOST = 1;
/** ISIG ICANON ECHO ECHONL IEXTEN */
const RAW_LOCAL_OFF = 0o100113;
/** CSIZE PARENB */
const RAW_CONTROL_OFF = 0o460;
const CS8 = 0o60;

export function isTerminal(fd: number): boolean {
  return kernel().syscall("ioctl", fd, TCGETS, new Uint8Array(TERMIOS_BYTES)) === 0;
}

/**
 * Lets every byte through a terminal unchanged and at once, as cfmakeraw(3) does, until the result is disposed of.
 */
export function setRawMode(fd: number): Disposable {
  const before = new Uint8Array(TERMIOS_BYTES);
  check(kernel().syscall("ioctl", fd, TCGETS, before), "read modes of terminal", fd);
  const raw = before.slice();
  const words = new Uint32Array(raw.buffer, 0, 4);
  const clear = (index: number, bits: number) => {
    words[index] = (words[index] ?? 0) & ~bits;
  };
  clear(0, RAW_INPUT_OFF);
  clear(1, OPOST);
  clear(2, RAW_CONTROL_OFF);
  words[2] = (words[2] ?? 0) | CS8;
  clear(3, RAW_LOCAL_OFF);
  raw[CONTROL_CHARACTERS + VMIN] = 1;
  raw[CONTROL_CHARACTERS + VTIME] = 0;
  check(kernel().syscall("ioctl", fd, TCSETS, raw), "set modes of terminal", fd);
  return {
    [Symbol.dispose]() {
      // The terminal may be gone by now, which leaves nothing to restore.
      kernel().syscall("ioctl", fd, TCSETS, before);
    },
  };
}
