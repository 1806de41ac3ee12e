/**
 * The command line of a confidential guest's kernel, which is measured: with `kernel_verity_params` the root hash of its disk is in it.
 *
 * Such a machine keeps the size that it starts with and has hardware virtualization; the rest is what the configuration says.
 */
import { parseConfiguration } from "../config/index.ts";
import { kernelCommandLine } from "../sandbox/hypervisor/kernel-parameters.ts";
import { guestRoot } from "../sandbox/settings.ts";

/** @param text of configuration.toml at `path`. @throws KataError `invalid-configuration`. */
export function guestCommandLine(text: string, path: string, processors: number): string {
  const { hypervisor } = parseConfiguration(text, path, { strict: true });
  return kernelCommandLine({
    accelerator: "kvm",
    machineType: hypervisor.machine_type,
    root: guestRoot(hypervisor),
    console: "ttyS0",
    debug: hypervisor.enable_debug,
    maxVcpus: processors,
    memoryGrows: false,
    additional: hypervisor.kernel_params,
  });
}
