/**
 * What makes an emulated machine boot sooner.
 *
 * Emulation executes a string instruction byte by byte, so a kernel that is told of fast ones uses the slowest way to copy and
 * clear memory; a fifth level of page tables and checks of each access to user memory cost at every step; and QEMU's usual
 * firmware looks for disks and screens that there are not. All of that together is a tenth of the time to an agent that answers.
 */
import { exists } from "../../../sys/files.ts";
import type { GuestArchitecture } from "../guest-architecture.ts";
import type { MachineSpec } from "../types.ts";

/**
 * Left out of the largest CPU model. What programs are compiled for (up to AVX2) stays. An Arm processor's signed pointers cost a
 * cipher at each call and return, its long vectors much of each change of tasks.
 */
export const SLOW_TO_EMULATE: Readonly<Record<GuestArchitecture, readonly string[]>> = {
  x86_64: ["erms", "fsrm", "la57", "smap", "smep", "umip", "pku"],
  aarch64: ["pauth", "sve", "sme"],
  s390x: [],
};

/** qboot: starts a kernel and does nothing else. Debian, Fedora and SUSE have it here. */
const FAST_FIRMWARE = "/usr/share/qemu/qboot.rom";

/** The firmware to start a machine with; empty for QEMU's own. */
export function chooseFirmware(spec: MachineSpec, isThere: (path: string) => boolean = exists): string {
  if (spec.firmware !== "" || spec.accelerator !== "tcg" || spec.machineType !== "q35") return spec.firmware;
  return isThere(FAST_FIRMWARE) ? FAST_FIRMWARE : "";
}
