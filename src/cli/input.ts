/** Text that a command reads from a file or from stdin. */
import { readTextFile, readToEnd } from "../sys/files.ts";
import { utf8Decode } from "../sys/utf8.ts";

/** The largest answer that is meant to be read is that of `az vm list-skus` for all regions, some 30 MB. */
const MAX_BYTES = 128 << 20;

const STDIN = 0;

/**
 * What is in `file`, or on stdin for `-`.
 *
 * @throws KataError `system-call` if it cannot be read, `oversized-file` beyond 128 MiB.
 */
export function readInput(file: string): string {
  if (file !== "-") return readTextFile(file, MAX_BYTES);
  return utf8Decode(readToEnd(STDIN, "stdin", MAX_BYTES));
}
