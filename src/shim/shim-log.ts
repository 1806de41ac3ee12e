/** The log of the shim that serves: containerd's pipe in the bundle, which it copies to its own log. */
import { hasErrno } from "../kata-error.ts";
import { O_NONBLOCK, O_WRONLY, open } from "../sys/files.ts";
import { Logger } from "../sys/log.ts";
import { duplicateTo, getpid } from "../sys/process.ts";
import type { ShimArguments } from "./arguments.ts";

const STDERR = 2;

/**
 * Makes the pipe this process's standard error, so that last words go there too, and a log on it. Without a reader there is no
 * log; one that comes later, as after a restart of containerd, reads on.
 */
export function openShimLog(bundle: string, { id, namespace, debug }: ShimArguments): Logger {
  try {
    using pipe = open(`${bundle}/log`, O_WRONLY | O_NONBLOCK);
    duplicateTo(pipe.fd, STDERR);
  } catch (error) {
    // No such pipe, or nobody who reads it: standard error stays what `start` gave, /dev/null.
    if (!hasErrno(error, "ENOENT", "ENXIO")) throw error;
  }
  return new Logger(STDERR, debug ? "debug" : "info", {
    name: "containerd-shim-kata-v2",
    source: "shim",
    pid: getpid(),
    namespace,
    sandbox: id,
  });
}
