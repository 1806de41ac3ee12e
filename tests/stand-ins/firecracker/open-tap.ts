/** Opening a tap by its name, as Firecracker does. Source: Linux Documentation/networking/tuntap.rst; linux/if_tun.h. */
import type { FileDescriptor } from "../../../src/sys/descriptor.ts";
import { O_RDWR, open } from "../../../src/sys/files.ts";
import { check, kernel } from "../../../src/sys/kernel.ts";
import { utf8Encode } from "../../../src/sys/utf8.ts";

const TUNSETIFF = 0x400454ca;
/** IFF_TAP, IFF_NO_PI and IFF_VNET_HDR; one queue. */
const FLAGS = 0x0002 | 0x1000 | 0x4000;
/** struct ifreq: name of 16 bytes, then the flags u16. */
const IFREQ_BYTES = 40;
const NAME_BYTES = 16;

/** @throws KataError EBUSY if somebody has it open. A name that there is not makes a new tap, as with Firecracker. */
export function openTap(name: string): FileDescriptor {
  const tap = open("/dev/net/tun", O_RDWR);
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(utf8Encode(name).subarray(0, NAME_BYTES - 1));
  new DataView(request.buffer).setUint16(NAME_BYTES, FLAGS, true);
  try {
    check(kernel().syscall("ioctl", tap.fd, TUNSETIFF, request), "open tap", name);
    return tap;
  } catch (error) {
    tap.close();
    throw error;
  }
}
