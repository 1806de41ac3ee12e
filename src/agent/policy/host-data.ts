/**
 * Whether the initdata is the one that a confidential machine was started with. Part of the extension.
 *
 * The processor measures a field that the launcher gives (SEV-SNP: host data; TDX: MRCONFIGID); the guest gets it in a report that
 * the host cannot forge. Sources: Linux Documentation/ABI/testing/configfs-tsm; SEV-SNP firmware ABI 1.55, table 22,
 * "ATTESTATION_REPORT"; Intel TDX module 1.5 ABI, "TDREPORT_STRUCT" and the DCAP quote format, version 4.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { mkdirIfMissing, readFile, readTextFile, rmdirIfExists, writeExisting } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";

const KERNEL_CONFIGURATION_MOUNT = "/sys/kernel/config";
const TSM_REPORTS = `${KERNEL_CONFIGURATION_MOUNT}/tsm/report`;

/** What the guest gives to be signed with the report; nobody outside asks. */
const REPORT_DATA = "0".repeat(64);

/** Where the field is in a report, by the kernel's name of the provider. */
const FIELDS: Readonly<Record<string, { readonly offset: number; readonly bytes: number }>> = {
  // ATTESTATION_REPORT.HOST_DATA.
  sev_guest: { offset: 0xc0, bytes: 32 },
  // Quote: 48 bytes of header; in the TD report body MRCONFIGID is at 184.
  tdx_guest: { offset: 48 + 184, bytes: 48 },
};

/** The measured field in a report; undefined for a provider that is not known. @throws KataError `invalid-report`. */
export function hostDataOf(provider: string, report: Uint8Array): Uint8Array | undefined {
  const field = Object.hasOwn(FIELDS, provider) ? FIELDS[provider] : undefined;
  if (field === undefined) return undefined;
  const end = field.offset + field.bytes;
  if (report.length >= end) return report.subarray(field.offset, end);
  throw new KataError("invalid-report", {
    operation: "read attestation report",
    object: provider,
    hint: `it has ${report.length} bytes, at least ${end} are needed`,
  });
}

/** Whether a measured field stands for `digest`, cut or filled with zeros; for none if it is all zeros. */
export function standsFor(field: Uint8Array, digest: Uint8Array | undefined): boolean {
  return field.every((byte, at) => byte === (digest?.[at] ?? 0));
}

/**
 * Compares the digest with what the machine was started with.
 *
 * @param digestOf the initdata; undefined if the host gave none.
 * @returns a sentence if there is nothing to compare with.
 * @throws KataError `initdata-mismatch`: the host has exchanged the initdata or kept it back.
 */
export function checkHostData(digestOf: (() => Uint8Array) | undefined): string | undefined {
  const report = machineReport();
  if (report === undefined) return "this machine gives no attestation reports to check initdata against";
  const field = hostDataOf(report.provider, report.bytes);
  if (field === undefined) return `initdata cannot be checked against reports of ${report.provider}`;
  const digest = digestOf?.();
  if (standsFor(field, digest)) return undefined;
  throw new KataError("initdata-mismatch", {
    operation: "check initdata",
    object: digest === undefined ? "the host gave none" : "it is not the one that was measured",
    hint: "the machine was started with the digest of other initdata",
  });
}

interface MachineReport {
  readonly provider: string;
  readonly bytes: Uint8Array;
}

/** Asks the processor for a report; undefined if the kernel knows of none. */
function machineReport(): MachineReport | undefined {
  const mounted = kernel().syscall("mount", "configfs", KERNEL_CONFIGURATION_MOUNT, "configfs", 0, null);
  // EBUSY: it is there already.
  if (mounted < 0 && mounted !== -16) return undefined;
  const entry = `${TSM_REPORTS}/kata-agent`;
  try {
    mkdirIfMissing(entry, 0o700);
  } catch (error) {
    // A kernel before 6.7 has no such interface.
    if (hasErrno(error, "ENOENT", "EPERM")) return undefined;
    throw error;
  }
  try {
    writeExisting(`${entry}/inblob`, REPORT_DATA);
    const bytes = readFile(`${entry}/outblob`);
    return { provider: readTextFile(`${entry}/provider`).trim(), bytes };
  } finally {
    rmdirIfExists(entry);
  }
}
