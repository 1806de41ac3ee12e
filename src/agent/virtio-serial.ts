/**
 * A virtio-serial port as the connection to the host: one byte stream that outlives who holds its other end.
 *
 * The kernel tells a closed host side by a hang-up: reads then answer 0 and writes wait or fail. The port can be opened by one
 * process at a time and is opened again for each connection.
 * Source: Linux drivers/char/virtio_console.c, Documentation of virtio-serial in the QEMU wiki.
 */
import { hasErrno, KataError } from "../kata-error.ts";
import { type Clock, sleep } from "../sys/clock.ts";
import { FileDescriptor } from "../sys/descriptor.ts";
import { loop } from "../sys/event-loop.ts";
import { FdStream } from "../sys/fd-stream.ts";
import { exists, O_NONBLOCK, O_RDWR, open, readDirectory, readTextFileIfExists } from "../sys/files.ts";
import { check, kernel } from "../sys/kernel.ts";
import { hasVirtioDevice, VIRTIO_CONSOLE, VIRTIO_VSOCK } from "./virtio-devices.ts";

/** Where sysfs lists the ports; tests put a directory of their own there. */
const PORTS = "/sys/class/virtio-ports";

/** How often to look whether the host has opened its end, ms: the kernel has no event for it. */
const REOPEN_INTERVAL_MS = 20;

/** The node of the port named `name`, or undefined if the machine has none. */
export function findSerialPort(name: string, ports = PORTS): string | undefined {
  const link = `/dev/virtio-ports/${name}`;
  if (exists(link)) return link;
  try {
    for (const port of readDirectory(ports)) {
      if (readTextFileIfExists(`${ports}/${port.name}/name`)?.trim() === name) return `/dev/${port.name}`;
    }
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
  }
  return undefined;
}

/** Whether the port is there or on its way: the machine has a serial device, and no vsock to be reached by instead. */
export function expectsSerialPort(name: string, ports = PORTS, devices?: string): boolean {
  if (findSerialPort(name, ports) !== undefined) return true;
  return hasVirtioDevice(VIRTIO_CONSOLE, devices) && !hasVirtioDevice(VIRTIO_VSOCK, devices);
}

/** The kernel announces a device's ports a moment after its driver has come, on a busy host a long one, ms. */
const ANNOUNCEMENT_DEADLINE_MS = 30_000;
const ANNOUNCEMENT_INTERVAL_MS = 2;

/** Waits until the port named `name` is there. @returns false if it does not come. */
export async function awaitSerialPort(name: string, clock: Clock = loop, ports = PORTS): Promise<boolean> {
  const deadline = clock.now() + ANNOUNCEMENT_DEADLINE_MS;
  while (findSerialPort(name, ports) === undefined) {
    if (clock.now() >= deadline) return false;
    await sleep(clock, ANNOUNCEMENT_INTERVAL_MS);
  }
  return true;
}

const POLLIN = 1;
const POLLHUP = 0x10;

/** Whether the host has its end open. */
function hostIsThere(fd: number): boolean {
  // struct pollfd: fd i32, events i16, returned events i16.
  const poll = new Int32Array([fd, POLLIN]);
  check(kernel().syscall("ppoll", poll, 1, new BigInt64Array(2), null, 8), "look at serial port", fd);
  return (((poll[1] ?? 0) >> 16) & POLLHUP) === 0;
}

/** Opens the port named `name` and waits until the host has opened its end. */
export async function acceptSerialPort(name: string, clock: Clock = loop): Promise<FdStream> {
  const node = (await awaitSerialPort(name, clock)) ? findSerialPort(name) : undefined;
  if (node === undefined) {
    throw new KataError("not-found", {
      operation: "open virtio-serial port",
      object: name,
      hint: "the machine has no port of this name, or the virtio_console module is not loaded",
    });
  }
  const port = open(node, O_RDWR | O_NONBLOCK);
  try {
    while (!hostIsThere(port.fd)) await sleep(clock, REOPEN_INTERVAL_MS);
  } catch (error) {
    port.close();
    throw error;
  }
  return new FdStream(new FileDescriptor(port.release()));
}
