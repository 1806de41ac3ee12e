/**
 * Initdata that came with the machine on a disk of its own.
 *
 * Source: upstream's agent: disks `vd*` and `sd*` are looked at before anything is answered.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { INITDATA_HEADER_BYTES, payloadLength } from "../../policy/initdata/initdata-disk.ts";
import { O_RDONLY, open, read, readDirectory, readTextFileIfExists } from "../../sys/files.ts";

const SECTOR = 512;

/** Where the machine shows its disks; tests have a tree of their own. */
export interface DiskDirectories {
  /** `/sys/block`. */
  readonly block: string;
  readonly dev: string;
}

const GUEST_DISKS: DiskDirectories = { block: "/sys/block", dev: "/dev" };

/** The compressed initdata of the first disk that has some. @throws KataError `invalid-initdata` for a broken one. */
export function findInitdata({ block, dev }: DiskDirectories = GUEST_DISKS): Uint8Array | undefined {
  for (const name of disks(block)) {
    const sectors = Number(readTextFileIfExists(`${block}/${name}/size`)?.trim() ?? "0");
    const payload = readPayload(`${dev}/${name}`, sectors * SECTOR);
    if (payload !== undefined) return payload;
  }
  return undefined;
}

function disks(block: string): string[] {
  try {
    return readDirectory(block)
      .map(({ name }) => name)
      .filter((name) => /^(?:vd|sd)[a-z]{1,3}$/.test(name))
      .sort();
  } catch (error) {
    // A kernel without block devices.
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

function readPayload(path: string, bytes: number): Uint8Array | undefined {
  using disk = open(path, O_RDONLY);
  const header = new Uint8Array(INITDATA_HEADER_BYTES);
  if (fill(disk.fd, header) < header.length) return undefined;
  const length = payloadLength(header, bytes);
  if (length === undefined) return undefined;
  const payload = new Uint8Array(length);
  if (fill(disk.fd, payload) === length) return payload;
  throw new KataError("invalid-initdata", {
    operation: "read initdata",
    object: path,
    hint: "it ends too early",
  });
}

/** Reads until `into` is full or the file ends. @returns the bytes read. */
function fill(fd: number, into: Uint8Array): number {
  let at = 0;
  while (at < into.length) {
    const count = read(fd, into.subarray(at));
    if (count === 0) break;
    at += count;
  }
  return at;
}
