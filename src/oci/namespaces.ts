/**
 * Namespaces by the specification's names, the kernel's flags and their files in /proc.
 * Source: namespaces(7), clone(2).
 */
import type { NamespaceType } from "./types.ts";

export const CLONE_NEWTIME = 0x80;
export const CLONE_NEWNS = 0x2_0000;
export const CLONE_NEWCGROUP = 0x200_0000;
export const CLONE_NEWUTS = 0x400_0000;
export const CLONE_NEWIPC = 0x800_0000;
export const CLONE_NEWUSER = 0x1000_0000;
export const CLONE_NEWPID = 0x2000_0000;
export const CLONE_NEWNET = 0x4000_0000;

interface NamespaceFacts {
  readonly flag: number;
  /** Name below `/proc/PID/ns`. */
  readonly file: string;
}

export const NAMESPACES: Readonly<Record<NamespaceType, NamespaceFacts>> = {
  user: { flag: CLONE_NEWUSER, file: "user" },
  mount: { flag: CLONE_NEWNS, file: "mnt" },
  pid: { flag: CLONE_NEWPID, file: "pid" },
  network: { flag: CLONE_NEWNET, file: "net" },
  ipc: { flag: CLONE_NEWIPC, file: "ipc" },
  uts: { flag: CLONE_NEWUTS, file: "uts" },
  cgroup: { flag: CLONE_NEWCGROUP, file: "cgroup" },
  time: { flag: CLONE_NEWTIME, file: "time" },
};
