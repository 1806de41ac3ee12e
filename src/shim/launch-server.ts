/**
 * The shim that stays: `start` makes it of itself, in a session of its own, and hands it the listening socket.
 *
 * It gets nothing else of `start`: whoever waits for the end of `start`'s output would wait for the shim's.
 */
import { hasErrno } from "../kata-error.ts";
import type { FileDescriptor } from "../sys/descriptor.ts";
import { readlink, readTextFile, writeExisting } from "../sys/files.ts";
import { getppid } from "../sys/process.ts";
import { environment, programName } from "../sys/program.ts";
import { spawn } from "../sys/spawn.ts";
import type { ShimArguments } from "./arguments.ts";

/** The descriptor of the listening socket in the shim that serves. */
export const LISTENING_FD = 3;

/** From `start` to the shim that stays: the configuration file of its sandbox, as the runtime's options name it. */
export const CONFIGURATION_VARIABLE = "KATA_SANDBOX_CONFIGURATION";

/** The kernel's largest. */
const MAX_OOM_SCORE = 1000;

/** Starts the shim that serves. @param extraEnvironment laid over this process's. @returns its pid. */
export async function launchServer(
  args: ShimArguments,
  bundle: string,
  socket: FileDescriptor,
  extraEnvironment: Readonly<Record<string, string>>,
): Promise<number> {
  const flags = [
    "-namespace",
    args.namespace,
    "-address",
    args.address,
    "-publish-binary",
    args.publishBinary,
    "-id",
    args.id,
    ...(args.debug ? ["-debug"] : []),
  ];
  const variables = Object.entries({ ...environment, ...extraEnvironment });
  const { pid } = await spawn({
    path: readlink("/proc/self/exe"),
    args: [programName, ...flags],
    environment: variables.map(([name, value]) => `${name}=${value}`),
    descriptors: ["null", "null", "null", socket.fd],
    workingDirectory: bundle,
    newSession: true,
  });
  raiseOomScore(pid);
  return pid;
}

/** When memory is short, the kernel takes a shim before the daemon that can tell of it. */
function raiseOomScore(pid: number): void {
  try {
    const parents = Number(readTextFile(`/proc/${getppid()}/oom_score_adj`).trim());
    writeExisting(`/proc/${pid}/oom_score_adj`, String(Math.min(parents + 1, MAX_OOM_SCORE)));
  } catch (error) {
    // Where this is forbidden, both are equal; whoever of them has ended is noticed elsewhere.
    if (!hasErrno(error, "EACCES", "EPERM", "ENOENT", "ESRCH")) throw error;
  }
}
