/**
 * New randomness for the kernel's generator.
 *
 * Clones of one machine return the same random bytes until they get entropy of their own *and then* reseed: adding
 * alone changes the pool, not the generator that already runs.
 * Source: random(4); measured on clones of a template.
 */
import { O_WRONLY, open } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";

const RNDADDENTROPY = 0x40085203;
const RNDRESEEDCRNG = 0x5207;

/** Mixes `seed` in with full credit and makes the generator use it at once. */
export function reseedRandomness(seed: Uint8Array): void {
  using device = open("/dev/urandom", O_WRONLY);
  // struct rand_pool_info: entropy in bits, size in bytes, the bytes.
  const info = new Uint8Array(8 + seed.length);
  const view = new DataView(info.buffer);
  view.setInt32(0, seed.length * 8, true);
  view.setInt32(4, seed.length, true);
  info.set(seed, 8);
  check(kernel().syscall("ioctl", device.fd, RNDADDENTROPY, info), "add entropy to", "/dev/urandom");
  check(kernel().syscall("ioctl", device.fd, RNDRESEEDCRNG, 0), "reseed", "/dev/urandom");
}
