/**
 * What executes the guest's code, found by trying: a device file that opens proves nothing, as a host may offer a
 * /dev/kvm that cannot run an ordinary kernel.
 */

import { KataError } from "../../kata-error.ts";
import { exists } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";
import type { Logger } from "../types.ts";
import { guestArchitecture } from "./guest-architecture.ts";
import { probeKvm } from "./kvm-probe.ts";
import { timeStampRate } from "./time-stamp-rate.ts";

export type Accelerator = "kvm" | "mshv" | "tcg";

export interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  /** Why nothing better was chosen; undefined for hardware virtualization. */
  readonly reason: string | undefined;
}

/** The best accelerator of this host. Asked anew for each machine: modules and permissions change. */
export async function chooseAccelerator(probe = probeKvm): Promise<AcceleratorChoice> {
  const kvm = await probe();
  if (kvm.works) return { accelerator: "kvm", reason: undefined };
  if (exists("/dev/mshv")) return { accelerator: "mshv", reason: undefined };
  return { accelerator: "tcg", reason: kvm.reason };
}

/** The best accelerator of this host for a board, which may have another processor than the host. */
export async function acceleratorFor(machineType: string): Promise<AcceleratorChoice> {
  const wanted = guestArchitecture(machineType);
  const { architecture } = kernel();
  if (wanted === architecture) return chooseAccelerator();
  return { accelerator: "tcg", reason: `the guest's processor is ${wanted}, the host's ${architecture}` };
}

/** Tells, once for a machine, that emulation is no security boundary. */
export function warnOfEmulation(choice: AcceleratorChoice, logger: Logger): void {
  if (choice.accelerator !== "tcg") return;
  logger.warn(
    "no usable hardware virtualization: the guest is emulated (TCG). This is slow, for development only, and no security boundary",
    { reason: choice.reason },
  );
}

/**
 * What the kernel has to be told of the board.
 *
 * An emulated `microvm` has no clock by which a kernel could measure the CPU's time stamp counter, which hardware virtualization
 * makes unnecessary; so it is told the rate.
 *
 * @param rate of the counter, kHz.
 * @throws KataError `unsupported` for a board on which a guest would never come up.
 */
export function boardParameters(
  { accelerator, reason }: AcceleratorChoice,
  machineType: string,
  rate: () => number | undefined = timeStampRate,
): readonly string[] {
  if (machineType !== "microvm") return [];
  // It has no keyboard's controller, by which other boards are reset.
  if (accelerator !== "tcg") return ["reboot=t"];
  const kilohertz = rate();
  if (kilohertz !== undefined) return ["reboot=t", `tsc_early_khz=${kilohertz}`, "tsc=reliable"];
  throw new KataError("unsupported", {
    operation: "emulate machine",
    object: `machine_type = "microvm" (${reason}), and this host does not tell how fast its time stamp counter runs`,
    hint: "without hardware virtualization set machine_type of [hypervisor.qemu] to q35",
  });
}
