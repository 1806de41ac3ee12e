/**
 * Taps: network links whose other end is a descriptor.
 * Sources: Linux Documentation/networking/tuntap.rst; linux/if_tun.h; drivers/net/tap.c (macvtap).
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import {
  MAX_PATH_BYTES,
  mknodat,
  O_CLOEXEC,
  O_RDONLY,
  O_RDWR,
  open,
  openat,
  readToEnd,
  S_IFCHR,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { checkLinkName, type Link, type TunFacts } from "../../sys/netlink/links.ts";
import {
  fsconfigCreate,
  fsmount,
  fsopen,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
} from "../../sys/new-mount-api.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import type { NetworkNamespace } from "./network-namespace.ts";

const TUN_DEVICE = "/dev/net/tun";
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_NO_PI = 0x1000;
/** Each packet has a header for what the guest leaves to the host: checksums, segmentation. */
const IFF_VNET_HDR = 0x4000;
/** struct ifreq: name of 16 bytes, then the flags u16. */
const IFREQ_BYTES = 40;
const IFREQ_FLAGS = 16;

/** Most queue pairs of one tap: the kernel's bound of a tun device. */
export const MAX_QUEUES = 256;

/**
 * Makes a tap in the namespace. It goes with the last copy of its descriptors.
 *
 * @param queues its queue pairs, a descriptor each.
 * @throws KataError `unavailable` if this host has no taps; `system-call` with EBUSY if the name is taken.
 */
export function makeTap(namespace: NetworkNamespace, name: string, queues: number): FileDescriptor[] {
  const multiQueue = queues > 1 ? IFF_MULTI_QUEUE : 0;
  return openQueues(queues, () => openTap(namespace, name, IFF_NO_PI | IFF_VNET_HDR | multiQueue));
}

/** Makes a tap of one queue that stays, with nobody at its other end, until it is deleted. */
export function makeLastingTap(namespace: NetworkNamespace, name: string): void {
  const [tap] = makeTap(namespace, name, 1);
  if (tap === undefined) return;
  try {
    check(kernel().syscall("ioctl", tap.fd, TUNSETPERSIST, 1), "keep tap", `${name} in ${namespace.path}`);
  } finally {
    tap.close();
  }
}

/**
 * Opens a tap that is there and nobody has open. It stays when its descriptors are closed.
 *
 * @param queues wanted; a tap of one queue has one.
 * @throws KataError `unsupported` for a tap whose frames the machine cannot read; `busy` if somebody has it open.
 */
export function openExistingTap(
  namespace: NetworkNamespace,
  name: string,
  { multiQueue, vnetHeader, packetInfo }: TunFacts,
  queues: number,
): FileDescriptor[] {
  if (packetInfo) {
    throw new KataError("unsupported", {
      operation: "open tap",
      object: `${name} puts a header of packet information before its frames`,
      hint: "make it without pi",
    });
  }
  const flags = IFF_NO_PI | (vnetHeader ? IFF_VNET_HDR : 0) | (multiQueue ? IFF_MULTI_QUEUE : 0);
  try {
    return openQueues(multiQueue ? queues : 1, () => openTap(namespace, name, flags));
  } catch (error) {
    if (!hasErrno(error, "EBUSY")) throw error;
    throw new KataError("busy", {
      operation: "open tap",
      object: `${name} in ${namespace.path}`,
      errno: error.errno,
      hint: "another program has it open",
      cause: error,
    });
  }
}

function openTap(namespace: NetworkNamespace, name: string, flags: number): FileDescriptor {
  const descriptor = namespace.inside(openTunDevice);
  try {
    setFlags(descriptor, checkLinkName(name), flags, `${name} in ${namespace.path}`);
    return descriptor;
  } catch (error) {
    descriptor.close();
    throw error;
  }
}

function setFlags(descriptor: FileDescriptor, name: string, flags: number, shown: string): void {
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(utf8Encode(name));
  new DataView(request.buffer).setUint16(IFREQ_FLAGS, IFF_TAP | flags, true);
  check(kernel().syscall("ioctl", descriptor.fd, TUNSETIFF, request), "make tap", shown);
}

/** All of them, or none if one fails. */
function openQueues(count: number, openOne: () => FileDescriptor): FileDescriptor[] {
  const opened: FileDescriptor[] = [];
  try {
    for (let queue = 0; queue < Math.min(count, MAX_QUEUES); queue++) opened.push(openOne());
    return opened;
  } catch (error) {
    for (const descriptor of opened) descriptor.close();
    throw error;
  }
}

function openTunDevice(): FileDescriptor {
  try {
    return open(TUN_DEVICE, O_RDWR);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENODEV", "ENXIO", "EACCES", "EPERM")) throw error;
    throw new KataError("unavailable", {
      operation: "make tap",
      object: TUN_DEVICE,
      errno: error.errno,
      hint: "a pod with a network needs the kernel's tun module and its device node: modprobe tun",
      cause: error,
    });
  }
}

/**
 * Opens the character device of a macvtap.
 *
 * Its node in /dev carries the link's index, which is unique only within a namespace, so it is not looked for there: the
 * device's number is read from sysfs as the namespace has it, and a node made in a file system that nobody else sees.
 *
 * @throws KataError `busy` if another program has taken all of its queues.
 */
export function openMacvtap(namespace: NetworkNamespace, link: Link, queues: number): FileDescriptor[] {
  const [major, minor] = macvtapNumber(namespace, link);
  using context = fsopen("tmpfs");
  fsconfigCreate(context);
  using room = fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  mknodat(room.fd, "tap", S_IFCHR | 0o600, major, minor);
  const flags = IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0);
  return openQueues(queues, () => {
    const descriptor = openat(room.fd, "tap", O_RDWR | O_CLOEXEC);
    try {
      setFlags(descriptor, link.name, flags, `${link.name} in ${namespace.path}`);
      return descriptor;
    } catch (error) {
      descriptor.close();
      throw error;
    }
  });
}

function macvtapNumber(namespace: NetworkNamespace, { name, kind, index }: Link): [number, number] {
  using sysfs = openSysfs(namespace);
  const path = `class/net/${checkLinkName(name)}/${kind}/tap${index}/dev`;
  using file = openat(sysfs.fd, path, O_RDONLY);
  const text = utf8Decode(readToEnd(file.fd, path, MAX_PATH_BYTES)).trim();
  const [, major, minor] = /^(\d+):(\d+)$/.exec(text) ?? [];
  if (major === undefined || minor === undefined) {
    throw new KataError("internal", { operation: "find device of macvtap", object: `${name}: ${text}` });
  }
  return [Number(major), Number(minor)];
}

/** sysfs as the namespace has it, mounted nowhere. */
export function openSysfs(namespace: NetworkNamespace): FileDescriptor {
  return namespace.inside(() => {
    using context = fsopen("sysfs");
    fsconfigCreate(context);
    return fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  });
}
