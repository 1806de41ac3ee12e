/**
 * The runtime under test: `KATA_TEST_RUNTIME`, or Kata Containers. Most tests state what every runtime does; run with
 * `io.containerd.runc.v2` they prove themselves against the reference.
 */
import { isRemote } from "./remote-hypervisor.ts";

export const KATA_RUNTIME = "io.containerd.kata.v2";
export const RUNC_RUNTIME = "io.containerd.runc.v2";

export interface Subject {
  /** As containerd names it. */
  readonly runtime: string;
  /** True if its containers run in a virtual machine. */
  readonly virtualMachine: boolean;
  /** True if a container sees the host's directories; otherwise it has copies. */
  readonly sharesFiles: boolean;
  /** True if a running container gets what changes in its network namespace. */
  readonly followsNetwork: boolean;
}

export function subjectOf(runtime: string): Subject {
  const virtualMachine = !runtime.includes(".runc.");
  // A machine on another host has nothing of this one's; Firecracker shares no directories and takes no cards later.
  const isApart = virtualMachine && (isRemote() || process.env.KATA_TEST_HYPERVISOR === "firecracker");
  return { runtime, virtualMachine, sharesFiles: !isApart, followsNetwork: !isApart };
}

export const subject: Subject = subjectOf(process.env.KATA_TEST_RUNTIME ?? KATA_RUNTIME);
