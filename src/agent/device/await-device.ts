/**
 * Waiting for a device that the host has plugged in, woken by the kernel's uevents.
 * Source: Linux Documentation/core-api/kobject.rst, "Uevents"; netlink(7).
 */
import { KataError } from "../../kata-error.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import type { Clock } from "../../sys/clock.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { check, kernel } from "../../sys/kernel.ts";

const AF_NETLINK = 16;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o2004000;
const NETLINK_KOBJECT_UEVENT = 15;
/** The kernel's own messages, not udev's. */
const KERNEL_GROUP = 1;

/** Opens a socket on which the kernel tells of new and removed devices. */
function openUevents(): FileDescriptor {
  const fd = kernel().syscall("socket", AF_NETLINK, SOCK_RAW_NONBLOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
  const socket = new FileDescriptor(check(fd, "listen for devices", "uevents"));
  // struct sockaddr_nl: family u16, pad, pid u32, groups u32.
  const address = new Uint32Array([AF_NETLINK, 0, KERNEL_GROUP]);
  const bound = kernel().syscall("bind", socket.fd, address, address.byteLength);
  if (bound < 0) socket.close();
  check(bound, "listen for devices", "uevents");
  return socket;
}

/** Longest uevent of the kernel, bytes. */
const UEVENT_BYTES = 8192;

/**
 * What `find` finds, now or as soon as a device shows itself.
 *
 * @throws KataError `deadline-exceeded` after `timeoutMs`.
 */
export async function awaitDevice<T>(
  description: string,
  timeoutMs: number,
  find: () => T | undefined,
  clock: Clock = loop,
): Promise<T> {
  const found = find();
  if (found !== undefined) return found;
  const deadline = new CancelSource();
  const timer = clock.after(timeoutMs, () =>
    deadline.cancel(
      new KataError("deadline-exceeded", {
        operation: "wait for device",
        object: description,
        hint: `it did not come within ${timeoutMs} ms; agent.hotplug_timeout= sets the limit`,
      }),
    ),
  );
  using events = openUevents();
  const buffer = new Uint8Array(UEVENT_BYTES);
  try {
    for (;;) {
      // Looked for again after the socket is open: it may have come in between.
      const device = find();
      if (device !== undefined) return device;
      await loop.readable(events.fd, deadline.signal);
      while (kernel().syscall("read", events.fd, buffer, buffer.length) > 0);
    }
  } finally {
    timer.cancel();
  }
}
