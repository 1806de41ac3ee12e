/**
 * The guest kernel's command line.
 *
 * Order is upstream's: the driver's own parameters, then the root file system, console and limits, then what the configuration
 * and annotations add, which come last and win.
 * Source: Linux Documentation/admin-guide/kernel-parameters.txt; upstream Kata Containers, QEMU driver for x86_64.
 */
import { KataError } from "../../kata-error.ts";
import type { Accelerator } from "./accelerator.ts";
import { guestArchitecture } from "./guest-architecture.ts";
import { rootParameters } from "./guest-root.ts";
import type { GuestRoot } from "./types.ts";

export interface KernelParametersRequest {
  readonly accelerator: Accelerator;
  readonly machineType: string;
  readonly root: GuestRoot;
  /** The device that the kernel's messages go to. */
  readonly console: string;
  readonly debug: boolean;
  readonly maxVcpus: number;
  /** Memory may come and go while the guest runs. */
  readonly memoryGrows: boolean;
  /** What the machine's board needs; nothing for most. */
  readonly board?: readonly string[];
  /** From configuration and annotations. */
  readonly additional: string;
}

/** The kernel's own limit on x86 (COMMAND_LINE_SIZE), less its NUL. */
const MAX_COMMAND_LINE_BYTES = 2047;

/** Spares the start what only large machines need. */
const FAST_BOOT = [
  "rcupdate.rcu_expedited=1",
  "cryptomgr.notests",
  "net.ifnames=0",
  // Terminals of before 1998, a third of a second of emulation where the kernel has them.
  "pty.legacy_count=0",
];

/** Skips what a virtual PC does not have; probing for a keyboard alone costs half a second of emulation. */
const FAST_PC_BOOT = [
  "no_timer_check",
  "i8042.direct=1",
  "i8042.dumbkbd=1",
  "i8042.nopnp=1",
  "i8042.noaux=1",
  "i8042.nokbd=1",
  "noreplace-smp",
  "reboot=k",
  "pci=lastbus=0",
];

/**
 * What costs an emulated machine much of its boot and gives it nothing: checks and tables for tracing, self-tests that
 * `cryptomgr.notests` does not switch off, one of them of a source of randomness that the kernel's own is used in the place of. A
 * kernel without one of the functions ignores its name.
 */
const FAST_EMULATION = [
  // The emulator does not execute ahead: what works around that costs instructions at each call and return of the kernel. Its
  // checks of each copy and its shifting stack cost some at each system call; an emulated machine is no security boundary anyway.
  "mitigations=off",
  "randomize_kstack_offset=off",
  "hardened_usercopy=off",
  "initcall_blacklist=ftrace_check_for_weak_functions,trace_eval_init,tracer_init_tracefs,crypto_kdf108_init,jent_mod_init",
];

/**
 * The file server writes to the guest's memory past the emulator, which then does not see that code which it has translated is no more: a
 * program could run another's code, from the same address of the same page. A page that the guest's kernel zeroes first is one that
 * the emulator sees written. Debian's kernel does so by default; here it is no matter of taste.
 * Source: QEMU docs/devel/tcg.rst, "Self-modifying code detection"; tests/e2e/emulation.vm.e2e.test.ts.
 */
const OWN_CODE = ["init_on_alloc=1"];

/**
 * Of timers nothing is said: without the local APIC's (`nolapic_timer`) the boot is a tenth of a second shorter, as it is not measured, but the
 * oldest timer of a PC wakes an idle guest all the time: 1.4 % of a processor instead of 0.3 %.
 */
function emulationParameters(accelerator: Accelerator): readonly string[] {
  return accelerator === "tcg" ? [...OWN_CODE, ...FAST_EMULATION] : [];
}

/**
 * Memory that comes is used at once, and where the ratio allows for nothing that cannot be moved, so that it can go again. Its
 * own table of pages lies in it: a small guest has no room for one of a large piece. A kernel that knows of memory above 4 GiB sets
 * 64 MiB aside to copy for devices that cannot reach there; virtio's can.
 * Source: Linux Documentation/admin-guide/mm/memory-hotplug.rst, arch/x86/kernel/pci-dma.c.
 */
const GROWING_MEMORY = [
  "memhp_default_state=online",
  "memory_hotplug.online_policy=auto-movable",
  "memory_hotplug.memmap_on_memory=1",
  "swiotlb=noforce",
];

/**
 * The command line as one string.
 *
 * @throws KataError `invalid-configuration` if it is longer than the kernel reads, or holds a line break or NUL.
 */
export function kernelCommandLine(request: KernelParametersRequest): string {
  const isPc = guestArchitecture(request.machineType) === "x86_64";
  // An emulated time stamp counter is not reliable.
  const clock = request.accelerator === "tcg" || !isPc ? [] : ["tsc=reliable"];
  const parameters = [
    ...clock,
    ...FAST_BOOT,
    ...(request.board ?? []),
    ...(isPc ? FAST_PC_BOOT : []),
    ...emulationParameters(request.accelerator),
    ...(request.memoryGrows ? GROWING_MEMORY : []),
    ...rootParameters(request.root),
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
