/** Whether the host protects a guest's memory from itself. */
import type { CpuInfo } from "./cpu-info.ts";
import { type HostRoot, textIn } from "./host-root.ts";

/**
 * Names of the protections that processor and kernel offer: `tdx`, `sev`, `snp`, `se`. Where the kernel tells whether it uses
 * one, that counts; else the processor's flag.
 * Sources: Linux Documentation/arch/x86/tdx.rst, arch/x86/kvm/svm/sev.c (module parameters), arch/s390/kernel/uv.c.
 */
export function guestProtections(host: HostRoot, { flags }: CpuInfo): readonly string[] {
  const offers = (flag: string, parameter: string) => {
    if (!flags.has(flag)) return false;
    const used = textIn(host, `/sys/module/${parameter}`)?.trim();
    return used === undefined || used === "Y" || used === "1";
  };
  const found: string[] = [];
  if (offers("tdx_host_platform", "kvm_intel/parameters/tdx")) found.push("tdx");
  if (offers("sev", "kvm_amd/parameters/sev")) found.push("sev");
  if (offers("sev_snp", "kvm_amd/parameters/sev_snp")) found.push("snp");
  if (textIn(host, "/sys/firmware/uv/prot_virt_host")?.trim() === "1") found.push("se");
  return found;
}
