/**
 * A terminal in the container's own devpts, made by the child.
 *
 * What the container shows at /dev/pts/ptmx is checked to be a terminal multiplexer before it is trusted, and the other end is
 * opened through it, by no path (CVE-2025-52565).
 * Sources: pts(4), ioctl_tty(2), TIOCGPTPEER.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { EEXIST } from "../../sys/errno.ts";
import {
  AT_EMPTY_PATH,
  filesystemType,
  O_NOCTTY,
  O_NOFOLLOW,
  O_PATH,
  O_RDWR,
  open,
  openat,
  openInRoot,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  statx,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { OPEN_TREE_CLONE, openTree } from "../../sys/new-mount-api.ts";
import { duplicateTo } from "../../sys/process.ts";
import { openTerminalPeer, setWindowSize } from "../../sys/terminal.ts";
import type { ParentChannel } from "./child-channel.ts";
import { openParent } from "./mount-target.ts";
import { attach } from "./mounts.ts";
import type { TerminalSize } from "./process-plan.ts";

const DEVPTS_SUPER_MAGIC = 0x1cd1;

/**
 * Makes a terminal for the calling process: its descriptors 0, 1 and 2 are the terminal's end, and the agent has taken the
 * master end.
 *
 * @param root the container's root directory; its /dev/pts is used if it has one, the agent's otherwise.
 * @param console whether to put the terminal at /dev/console.
 */
export function setUpTerminal(
  root: number,
  size: TerminalSize,
  owner: number,
  channel: ParentChannel,
  console: boolean,
): void {
  using master = openMultiplexer(root);
  using end = openTerminalPeer(master.fd);
  if (size.rows > 0 && size.columns > 0) setWindowSize(master.fd, size);
  // The group stays: devpts gives it as its gid= option says.
  if (owner !== 0) check(kernel().syscall("fchown", end.fd, owner, -1), "change owner of terminal", end.fd);
  if (console) {
    using copy = openTree(end.fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    using target = openConsole(root);
    attach(copy, target);
  }
  channel.passTerminal(master.fd);
  for (const fd of [0, 1, 2]) duplicateTo(end.fd, fd);
}

/** The place of the console: nothing but a file or node of that name itself is covered. */
function openConsole(root: number): FileDescriptor {
  const { parent, name } = openParent(root, "/dev/console");
  using directory = parent;
  const made = kernel().syscall("mknodat", directory.fd, name, S_IFREG | 0o600, 0);
  if (made !== -EEXIST) check(made, "make", "/dev/console");
  const place = openat(directory.fd, name, O_PATH | O_NOFOLLOW);
  if ((statx(place.fd, "", AT_EMPTY_PATH).mode & S_IFMT) !== S_IFLNK) return place;
  place.close();
  throw new KataError("permission-denied", {
    operation: "put terminal at",
    object: "/dev/console of the container",
    hint: "the image has a link there",
  });
}

function openMultiplexer(root: number): FileDescriptor {
  try {
    return verified(openInRoot(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY));
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR", "EACCES")) throw error;
    return verified(open("/dev/pts/ptmx", O_RDWR | O_NOCTTY));
  }
}

function verified(master: FileDescriptor): FileDescriptor {
  const status = statx(master.fd, "", AT_EMPTY_PATH);
  if (
    filesystemType(master.fd) === DEVPTS_SUPER_MAGIC &&
    status.deviceMajor === 5 &&
    status.deviceMinor === 2
  ) {
    return master;
  }
  master.close();
  throw new KataError("permission-denied", {
    operation: "make terminal",
    object: "/dev/pts/ptmx of the container",
    hint: "it is no terminal multiplexer",
  });
}
