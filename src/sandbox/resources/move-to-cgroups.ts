/**
 * Moving processes that run into cgroups, beside everything else.
 *
 * The kernel waits for all processors when a process moves, some milliseconds for each hierarchy; a child of this process waits for it.
 * Source: cgroups(7).
 */
import { KataError } from "../../kata-error.ts";
import { writeExisting } from "../../sys/files.ts";
import { clone, waitForChild } from "../../sys/process.ts";
import { exit } from "../../sys/program.ts";

/** @returns when they are there, or have ended. @throws KataError if the kernel refuses. */
export async function moveToCgroups(pids: readonly number[], directories: readonly string[]): Promise<void> {
  if (directories.length === 0) return;
  const child = clone({ flags: 0 });
  if (child.role === "child") {
    let failures = 0;
    for (const directory of directories) {
      for (const pid of pids) {
        try {
          writeExisting(`${directory}/cgroup.procs`, String(pid));
        } catch (error) {
          // One that has ended is nowhere.
          if (!(error instanceof KataError) || error.errno !== "ESRCH") failures++;
        }
      }
    }
    exit(failures === 0 ? 0 : 1);
  }
  const { status } = await waitForChild(child.pidfd, child.pid).finally(() => child.pidfd.close());
  if (status === 0) return;
  throw new KataError("system-call", {
    operation: "move processes to cgroups",
    object: directories.join(", "),
  });
}
