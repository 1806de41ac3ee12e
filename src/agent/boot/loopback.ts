/** Bringing up `lo`. Source: netdevice(7). */
import { FileDescriptor } from "../../sys/descriptor.ts";
import { check, kernel } from "../../sys/kernel.ts";

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;

export function setLoopbackUp(): void {
  using socket = new FileDescriptor(
    check(kernel().syscall("socket", AF_INET, SOCK_DGRAM_CLOEXEC, 0), "make socket for", "lo"),
  );
  // struct ifreq: name 16 bytes, then the flags.
  const request = new Uint8Array(40);
  request.set([0x6c, 0x6f]);
  check(kernel().syscall("ioctl", socket.fd, SIOCGIFFLAGS, request), "read flags of", "lo");
  const view = new DataView(request.buffer);
  view.setUint16(16, view.getUint16(16, true) | IFF_UP, true);
  check(kernel().syscall("ioctl", socket.fd, SIOCSIFFLAGS, request), "set up", "lo");
}
