/** Where a sandbox's helper programs live: their cgroups and namespaces, entered between clone and execve. */
import { O_RDONLY, open, writeExisting } from "../../sys/files.ts";
import { setns, unshare } from "../../sys/namespaces.ts";
import { CLONE_NEWNET } from "../../sys/process.ts";

export interface HelperPlace {
  /** Directories of cgroups, one a hierarchy. */
  readonly cgroups: readonly string[];
  /** File of a network namespace; undefined: a new one without any interface. */
  readonly networkNamespace: string | undefined;
}

/** Moves the calling process, which is about to become a helper program. */
export function enterHelperNamespaces({ cgroups, networkNamespace }: HelperPlace): void {
  // 0 is the process that writes.
  for (const directory of cgroups) writeExisting(`${directory}/cgroup.procs`, "0");
  if (networkNamespace === undefined) {
    unshare(CLONE_NEWNET);
    return;
  }
  using namespace = open(networkNamespace, O_RDONLY);
  setns(namespace.fd, CLONE_NEWNET);
}
