/** The kernel's own carrier of a card's packets. Source: linux/vhost.h. */
import { hasErrno } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { O_RDWR, open } from "../../sys/files.ts";

/** A descriptor for one queue pair; undefined where the host has no such device. */
export function openVhostNet(): FileDescriptor | undefined {
  try {
    return open("/dev/vhost-net", O_RDWR);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV", "ENXIO", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}
