/**
 * A saved machine of the stand-in: what it was made of, as a line of JSON, and behind it what QEMU knows of it. Its memory is in another
 * file.
 */
import type { FileDescriptor } from "../../../src/sys/descriptor.ts";
import { O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, open, read, writeAll } from "../../../src/sys/files.ts";
import { check, kernel } from "../../../src/sys/kernel.ts";
import { utf8Decode, utf8Encode } from "../../../src/sys/utf8.ts";

export interface SnapshotFiles {
  readonly snapshot_path: string;
  readonly mem_file_path: string;
}

const MAX_HEAD_BYTES = 64 << 10;
const NEWLINE = 10;
const SEEK_SET = 0;

/** A new one, open behind its first line. */
export function beginSnapshot(path: string, parts: object): FileDescriptor {
  const file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600);
  writeAll(file.fd, utf8Encode(`${JSON.stringify(parts)}\n`));
  return file;
}

/** One that is there, open behind its first line. */
export function openSnapshot(path: string): { readonly parts: unknown; readonly file: FileDescriptor } {
  const file = open(path, O_RDONLY);
  const head = new Uint8Array(MAX_HEAD_BYTES);
  const end = head.subarray(0, read(file.fd, head)).indexOf(NEWLINE);
  check(kernel().syscall("lseek", file.fd, end + 1, SEEK_SET), "seek in", path);
  return { parts: JSON.parse(utf8Decode(head.subarray(0, end))), file };
}
