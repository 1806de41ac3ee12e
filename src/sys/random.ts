/** Randomness of the kernel. Sources: getrandom(2), random(4). */
import { O_WRONLY, open } from "./files.ts";
import { check, kernel } from "./kernel.ts";

const RNDADDTOENTCNT = 0x40045201;
const RNDADDENTROPY = 0x40085203;
const RNDRESEEDCRNG = 0x5207;
const DEVICE = "/dev/urandom";

/** `length` random bytes; waits until the kernel's generator has been seeded. */
export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const rest = bytes.subarray(at);
    const count = kernel().syscall("getrandom", rest, rest.length, 0);
    // EINTR
    if (count !== -4) at += check(count, "get randomness", `${length} bytes`);
  }
  return bytes;
}

/** Mixes `seed` into the kernel's pool and credits it in full. */
export function addEntropy(seed: Uint8Array): void {
  using device = open(DEVICE, O_WRONLY);
  // struct rand_pool_info: entropy in bits, size in bytes, the bytes.
  const info = new Uint8Array(8 + seed.length);
  new Int32Array(info.buffer, 0, 2).set([seed.length * 8, seed.length]);
  info.set(seed, 8);
  check(kernel().syscall("ioctl", device.fd, RNDADDENTROPY, info), "add entropy to", DEVICE);
}

/** Makes the generator use what has come into the pool, which otherwise takes minutes. */
export function reseedGenerator(): void {
  using device = open(DEVICE, O_WRONLY);
  check(kernel().syscall("ioctl", device.fd, RNDRESEEDCRNG, 0), "reseed", DEVICE);
}

/** Credits what was written to the device before. @param bits of entropy. */
export function addToEntropyCount(bits: number): void {
  using device = open(DEVICE, O_WRONLY);
  check(
    kernel().syscall("ioctl", device.fd, RNDADDTOENTCNT, new Int32Array([bits])),
    "credit entropy of",
    DEVICE,
  );
}
