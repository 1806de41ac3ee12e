/** Giving a disk a file system, where a volume has to have one and the disk has none. */
import { hasErrno, KataError } from "../../kata-error.ts";
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { O_RDONLY, open, read } from "../../sys/files.ts";
import { SIGKILL } from "../../sys/process.ts";
import { spawn } from "../../sys/spawn.ts";

/** The superblocks of ext, xfs and btrfs begin within these bytes. */
const HEAD_BYTES = 128 << 10;
/** Making one writes some megabytes, ms. */
const MAKE_DEADLINE_MS = 30_000;
const PROGRAMS = ["/usr/sbin", "/sbin", "/usr/bin"];

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
  for (const directory of PROGRAMS) {
    const path = `${directory}/${name}`;
    try {
      const child = await spawn({
        path,
        // Tables are written when they are used: the disk stays sparse.
        args: [path, "-q", ...(filesystem === "ext4" ? ["-F", "-m", "0"] : []), device],
        environment: ["LANG=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        descriptors: ["null", "null", "null"],
        parentDeathSignal: SIGKILL,
      });
      const what = { operation: "make file system", object: device };
      const { status } = await withDeadline(loop, MAKE_DEADLINE_MS, what, child.exited).catch(
        (error: unknown) => {
          child.kill(SIGKILL);
          throw error;
        },
      );
      if (status === 0) return;
      throw new KataError("internal", { ...what, hint: `${name} ended with status ${status}` });
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  }
  throw new KataError("unsupported", {
    operation: "make file system",
    object: device,
    hint: `the host has no ${name}: install it, or format the volume beforehand`,
  });
}
