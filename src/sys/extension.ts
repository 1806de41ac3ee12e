/**
 * The second part of a program: a module at the end of its binary, which costs nothing until it is run.
 *
 * The build (`scripts/build/program.ts`) writes: the bytecode, its length (64 bits, little-endian), the mark `kataext1`.
 */
import { KataError } from "../kata-error.ts";
import { AT_EMPTY_PATH, O_RDONLY, open, statx } from "./files.ts";
import { check, kernel } from "./kernel.ts";
import { nativeHost } from "./native.ts";
import { utf8Decode } from "./utf8.ts";

const MARK = "kataext1";
const TRAILER_BYTES = 16;
/** The kernel follows this link also when the file has been replaced or is in no directory any more. */
const OWN_BINARY = "/proc/self/exe";

/**
 * Runs the extension of this program. @returns what it exports.
 *
 * @throws KataError `unavailable` if it has none.
 */
export function runExtension(): unknown {
  using binary = open(OWN_BINARY, O_RDONLY);
  const { size } = statx(binary.fd, "", AT_EMPTY_PATH);
  const trailer = readAt(binary.fd, Math.max(0, size - TRAILER_BYTES), TRAILER_BYTES);
  const length = Number(new DataView(trailer.buffer).getBigUint64(0, true));
  const start = size - TRAILER_BYTES - length;
  if (nativeHost === undefined || utf8Decode(trailer.subarray(8)) !== MARK || start < 0) {
    throw new KataError("unavailable", {
      operation: "run extension",
      object: "this program was built without one",
    });
  }
  return nativeHost.runModule(readAt(binary.fd, start, length));
}

function readAt(fd: number, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const rest = bytes.subarray(at);
    const count = kernel().syscall("pread64", fd, rest, rest.length, offset + at);
    if (check(count, "read", OWN_BINARY) === 0) break;
    at += count;
  }
  return bytes;
}
