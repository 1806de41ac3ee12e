/**
 * Copying a file that is mostly holes, without its holes.
 * Sources: lseek(2) "Seeking file data and holes", sendfile(2).
 */
import { KataError } from "../kata-error.ts";
import { EINTR } from "./errno.ts";
import { loop } from "./event-loop.ts";
import { check, kernel } from "./kernel.ts";

const SEEK_SET = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;

/** Copied at once, bytes: some milliseconds, after which others have their turn. */
const CHUNK_BYTES = 8 << 20;

/**
 * Copies the data of `from` to the same places in `to`, which holds nothing there. The offsets of both are changed.
 *
 * @returns the number of bytes copied.
 * @throws KataError `system-call`; `unexpected-end` if `from` gets shorter meanwhile.
 */
export async function copySparse(from: number, to: number): Promise<number> {
  let copied = 0;
  let inTurn = 0;
  for (let at = 0; ; ) {
    const start = kernel().syscall("lseek", from, at, SEEK_DATA);
    // There is no more data.
    if (start === -ENXIO) return copied;
    check(start, "find data of", from);
    const end = check(kernel().syscall("lseek", from, start, SEEK_HOLE), "find hole of", from);
    check(kernel().syscall("lseek", to, start, SEEK_SET), "seek in", to);
    for (at = start; at < end; ) {
      const count = sendSome(from, to, at, Math.min(end - at, CHUNK_BYTES - inTurn));
      at += count;
      copied += count;
      inTurn += count;
      if (inTurn < CHUNK_BYTES) continue;
      inTurn = 0;
      await new Promise<void>((resolve) => loop.soon(resolve));
    }
  }
}

const offset = new BigInt64Array(1);

function sendSome(from: number, to: number, at: number, length: number): number {
  for (;;) {
    offset[0] = BigInt(at);
    const count = kernel().syscall("sendfile", to, from, offset, length);
    if (count === -EINTR) continue;
    if (check(count, "copy", from) > 0) return count;
    throw new KataError("unexpected-end", { operation: "copy", object: `fd ${from} ends at ${at}` });
  }
}
