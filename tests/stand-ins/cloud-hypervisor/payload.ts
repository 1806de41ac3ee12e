/** What Cloud Hypervisor boots: a kernel with what belongs to it, or, for a confidential guest, one file that has everything. */
import { exists } from "../../../src/sys/files.ts";

export interface PayloadRequest {
  readonly payload: {
    readonly kernel?: string;
    readonly cmdline?: string;
    readonly initramfs?: string;
    readonly igvm?: string;
    readonly host_data?: string;
  };
  readonly platform?: { readonly sev_snp?: boolean };
}

/** 32 bytes. */
const HOST_DATA = /^[0-9a-f]{64}$/;

/** @returns the monitor's complaint; undefined for what it would boot. */
export function payloadFault({ payload, platform }: PayloadRequest): string | undefined {
  const { kernel, cmdline, initramfs, igvm, host_data: hostData } = payload;
  const isConfidential = platform?.sev_snp === true;
  if (igvm === undefined) return kernel === undefined || isConfidential ? "KernelMissing" : undefined;
  if ([kernel, cmdline, initramfs].some((part) => part !== undefined)) return "PayloadConflict";
  if (!isConfidential) return "IgvmWithoutSevSnp";
  if (!exists(igvm)) return `IgvmFile: ${igvm}: No such file or directory (os error 2)`;
  return hostData === undefined || HOST_DATA.test(hostData) ? undefined : "InvalidHostData";
}
