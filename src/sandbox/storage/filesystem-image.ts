/** Giving a disk a file system, where a volume has to have one and the disk has none. */
import { KataError } from "../../kata-error.ts";
import { O_RDONLY, open, read } from "../../sys/files.ts";
import { runHostProgram } from "./host-program.ts";

/** The superblocks of ext, xfs and btrfs begin within these bytes. */
const HEAD_BYTES = 128 << 10;
/** Making one writes some megabytes, ms. */
const MAKE_DEADLINE_MS = 30_000;

/** Whether anything is written at the start of the disk: what is there is not ours to write over. */
export function hasFilesystem(device: string): boolean {
  using file = open(device, O_RDONLY);
  const bytes = new BigUint64Array(HEAD_BYTES / 8);
  const count = read(file.fd, new Uint8Array(bytes.buffer));
  return bytes.subarray(0, Math.ceil(count / 8)).some((word) => word !== 0n);
}

/** @throws KataError `unsupported` if the host has no program for it. */
export async function makeFilesystem(device: string, filesystem: string): Promise<void> {
  const name = `mkfs.${filesystem}`;
  const what = { operation: "make file system", object: device };
  // Tables are written when they are used: the disk stays sparse.
  const args = ["-q", ...(filesystem === "ext4" ? ["-F", "-m", "0"] : []), device];
  const status = await runHostProgram({ name, args, deadlineMs: MAKE_DEADLINE_MS });
  if (status === 0) return;
  if (status !== undefined) {
    throw new KataError("internal", { ...what, hint: `${name} ended with status ${status}` });
  }
  throw new KataError("unsupported", {
    ...what,
    hint: `the host has no ${name}: install it, or format the volume beforehand`,
  });
}
