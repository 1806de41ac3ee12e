/** Programs of the host's distribution that make file systems. */
import { hasErrno, KataError } from "../../kata-error.ts";
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { SIGKILL } from "../../sys/process.ts";
import { spawn } from "../../sys/spawn.ts";

const DIRECTORIES = ["/usr/sbin", "/sbin", "/usr/bin"];

export interface HostProgram {
  /** Without a directory: `mkfs.ext4`. */
  readonly name: string;
  readonly args: readonly string[];
  readonly deadlineMs: number;
  /** Runs in the child before its execve. */
  readonly prepare?: () => void;
}

/**
 * Runs it without input; what it says is lost.
 *
 * @returns its exit status; undefined if the host does not have it.
 * @throws KataError `deadline-exceeded` when it was killed for taking too long.
 */
export async function runHostProgram({
  name,
  args,
  deadlineMs,
  prepare,
}: HostProgram): Promise<number | undefined> {
  for (const directory of DIRECTORIES) {
    const path = `${directory}/${name}`;
    try {
      const child = await spawn({
        path,
        args: [path, ...args],
        environment: ["LANG=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        descriptors: ["null", "null", "null"],
        parentDeathSignal: SIGKILL,
        ...(prepare === undefined ? {} : { prepare }),
      });
      const what = { operation: `run ${name}`, object: args.at(-1) ?? "" };
      const { status } = await withDeadline(loop, deadlineMs, what, child.exited).catch((error: unknown) => {
        child.kill(SIGKILL);
        throw error;
      });
      return status;
    } catch (error) {
      if (!(error instanceof KataError) || !hasErrno(error, "ENOENT")) throw error;
    }
  }
  return undefined;
}
