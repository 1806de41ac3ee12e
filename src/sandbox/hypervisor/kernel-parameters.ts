/**
 * The guest kernel's command line.
 *
 * Order is upstream's: the driver's own parameters, then the root file system, console and limits, then what the configuration
 * and annotations add, which come last and win.
 * Source: Linux Documentation/admin-guide/kernel-parameters.txt; upstream Kata Containers, QEMU driver for x86_64.
 */
import { KataError } from "../../kata-error.ts";
import type { Accelerator } from "./accelerator.ts";
import type { GuestRoot } from "./types.ts";

export interface KernelParametersRequest {
  readonly accelerator: Accelerator;
  readonly root: GuestRoot;
  /** The device that the kernel's messages go to. */
  readonly console: string;
  readonly debug: boolean;
  readonly maxVcpus: number;
  /** From configuration and annotations. */
  readonly additional: string;
}

/** The kernel's own limit on x86 (COMMAND_LINE_SIZE), less its NUL. */
const MAX_COMMAND_LINE_BYTES = 2047;

/** Skips what a virtual machine does not have; probing for a keyboard alone costs half a second of emulation. */
const FAST_BOOT = [
  "no_timer_check",
  "rcupdate.rcu_expedited=1",
  "i8042.direct=1",
  "i8042.dumbkbd=1",
  "i8042.nopnp=1",
  "i8042.noaux=1",
  "i8042.nokbd=1",
  "noreplace-smp",
  "reboot=k",
  "cryptomgr.notests",
  "net.ifnames=0",
  "pci=lastbus=0",
];

/**
 * The command line as one string.
 *
 * @throws KataError `invalid-configuration` if it is longer than the kernel reads, or holds a line break or NUL.
 */
export function kernelCommandLine(request: KernelParametersRequest): string {
  // An emulated time stamp counter is not reliable.
  const clock = request.accelerator === "tcg" ? [] : ["tsc=reliable"];
  const root =
    request.root.kind === "image"
      ? ["root=/dev/vda1", "rootflags=ro", "ro", `rootfstype=${request.root.filesystem}`]
      : [];
  const parameters = [
    ...clock,
    ...FAST_BOOT,
    ...root,
    `console=${request.console}`,
    request.debug ? "debug" : "quiet",
    "panic=1",
    `nr_cpus=${request.maxVcpus}`,
    "selinux=0",
    "scsi_mod.scan=none",
    ...(request.debug ? ["agent.log=debug"] : []),
  ];
  const line = [...parameters, request.additional.trim()].filter((part) => part !== "").join(" ");
  if (line.length > MAX_COMMAND_LINE_BYTES || /[\n\0]/.test(line)) {
    throw new KataError("invalid-configuration", {
      operation: "make the guest kernel's command line",
      object: `${line.length} bytes`,
      hint: `shorten kernel_params: the kernel reads ${MAX_COMMAND_LINE_BYTES} bytes on one line`,
    });
  }
  return line;
}
