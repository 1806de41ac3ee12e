/**
 * The guest's modprobe: the kernel starts a program when something asks for what a module would bring, as `iptables` and `brctl` do.
 *
 * The program is the agent once more. It finds the modules in the initial file system, which is nowhere in the tree of files any
 * more, through the first agent's descriptor: under a number that both know, so that no directory of a container's can be taken
 * for it.
 * Source: Linux kernel/module/kmod.c (`call_modprobe`): its arguments are `-q -- NAME`, its descriptors none.
 */
import { hasErrno } from "../../kata-error.ts";
import { O_DIRECTORY, O_PATH, open, readTextFile, writeFile } from "../../sys/files.ts";
import { duplicate } from "../../sys/process.ts";
import { KernelModules } from "./kernel-modules.ts";

/** Beyond the descriptors of a busy agent, below the limit that a kernel begins with. */
const INITIAL_ROOT_FD = 1000;

/** The agent's binary, wherever it is. */
const PROGRAM = "/proc/1/exe";
const SETTING = "/proc/sys/kernel/modprobe";

/** Lets the kernel load modules by itself from now on. @param initialRoot descriptor of the initial file system. */
export function serveModuleRequests(initialRoot: number): void {
  try {
    writeFile(SETTING, PROGRAM);
  } catch (error) {
    // A kernel without modules, or without this.
    if (hasErrno(error, "ENOENT")) return;
    throw error;
  }
  // Open for good, as this process is.
  duplicate(initialRoot, INITIAL_ROOT_FD).release();
}

/** The module that the kernel wants, if it is the kernel that has started this program; its name may be an alias. */
export function requestedModule(args: readonly string[]): string | undefined {
  const [quiet, end, name, ...more] = args;
  return quiet === "-q" && end === "--" && more.length === 0 ? name : undefined;
}

/** @throws KataError `not-found` if the guest has no such module. */
export function loadRequestedModule(name: string): void {
  using root = open(`/proc/1/fd/${INITIAL_ROOT_FD}`, O_PATH | O_DIRECTORY);
  new KernelModules(root.fd, readTextFile("/proc/cmdline")).load(name);
}
