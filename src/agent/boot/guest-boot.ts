/**
 * Process 1 of a virtual machine: from the kernel's hand-over to a machine in which containers can run.
 *
 * Starts with whatever the kernel left: the initial ramfs as `/`, perhaps no open descriptor. Ends with the file systems
 * mounted, the devices' modules loaded and `lo` up. It is on the way of every start, so nothing here waits.
 */
import { describeError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { EINVAL, ENODEV } from "../../sys/errno.ts";
import { exists, mkdirAll, O_DIRECTORY, O_PATH, open, readTextFile, symlink } from "../../sys/files.ts";
import { kernel, systemCallError } from "../../sys/kernel.ts";
import { umask } from "../../sys/process.ts";
import { settingsFromKernelParameters } from "../kernel-parameters.ts";
import type { ParsedSettings } from "../settings.ts";
import { BOOT_LINKS, BOOT_MOUNTS, type BootMount, cgroupMounts } from "./guest-mounts.ts";
import { setLoopbackUp } from "./loopback.ts";
import { isInitialRoot, switchRoot } from "./switch-root.ts";
import { enterVerifiedRoot } from "./verified-root.ts";

export interface BootedGuest extends ParsedSettings {
  /** The directory of the initial ramfs, with the modules. */
  readonly initialRoot: FileDescriptor;
}

const O_RDWR = 2;
const EBADF = 9;
const F_GETFD = 1;

/** @throws KataError if the machine cannot be brought into a state in which containers run. */
export function bootGuest(): BootedGuest {
  umask(0o022);
  if (isInitialRoot()) {
    using initial = open("/", O_PATH | O_DIRECTORY);
    enterVerifiedRoot(initial);
  }
  const initialRoot = switchRoot();
  const warnings: string[] = [];
  for (const mount of BOOT_MOUNTS) mountOne(mount, warnings);
  openConsole();
  const parsed = settingsFromKernelParameters(readTextFile("/proc/cmdline"));
  const mounts = cgroupMounts(parsed.settings.unifiedCgroups, readTextFile("/proc/cgroups"));
  for (const mount of mounts) mountOne(mount, warnings);
  for (const [path, target] of BOOT_LINKS) if (!exists(path)) symlink(target, path);
  try {
    setLoopbackUp();
  } catch (error) {
    warnings.push(describeError(error));
  }
  return { settings: parsed.settings, warnings: [...parsed.warnings, ...warnings], initialRoot };
}

function mountOne(mount: BootMount, warnings: string[]): void {
  const { type, source, target, flags, data } = mount;
  mkdirAll(target);
  const result = kernel().syscall("mount", source, target, type, flags, data);
  // EBUSY: the kernel has mounted devtmpfs itself.
  if (result >= 0 || result === -16) return;
  const error = systemCallError(result, `mount ${type} at`, target);
  if (mount.optional !== true || (result !== -ENODEV && result !== -EINVAL)) throw error;
  warnings.push(error.message);
}

/** The kernel opens the console for process 1 only if the initial ramfs has its node. */
function openConsole(): void {
  if (kernel().syscall("fcntl", 2, F_GETFD, 0) !== -EBADF) return;
  const fd = kernel().syscall("openat", -100, "/dev/console", O_RDWR, 0);
  const console = fd >= 0 ? fd : kernel().syscall("openat", -100, "/dev/null", O_RDWR, 0);
  for (const target of [0, 1, 2]) if (target !== console) kernel().syscall("dup3", console, target, 0);
  if (console > 2) kernel().syscall("close", console);
}
