/**
 * How a guest's memory is kept from this host: what the operator asks for, by what the host has.
 *
 * Sources: Linux arch/x86/kvm/svm/sev.c, arch/x86/kvm/vmx/tdx.c (module parameters), arch/s390/kernel/uv.c (prot_virt_host); AMD, CPUID Fn8000_001F; Intel DCAP (the quote
 * service's socket); initdata specification 0.1.0, "Integrity".
 */
import type { Configuration } from "../config/index.ts";
import { encodeBase64 } from "../crypto/base64.ts";
import { hasErrno, KataError } from "../kata-error.ts";
import {
  annotationPayload,
  hostData,
  initdataDigest,
  parseInitdata,
  unpackInitdata,
} from "../policy/initdata/initdata.ts";
import { exists, O_RDONLY, open, readTextFileIfExists } from "../sys/files.ts";
import { kernel } from "../sys/kernel.ts";
import { utf8Decode } from "../sys/utf8.ts";
import type { Accelerator } from "./hypervisor/accelerator.ts";
import { guestArchitecture } from "./hypervisor/guest-architecture.ts";
import type { ConfidentialGuest } from "./hypervisor/types.ts";

/** What the configuration says. */
export interface ConfidentialWish {
  /** Nothing but SEV-SNP will do. */
  readonly snpOnly: boolean;
  readonly idBlock: string;
  readonly idAuthentication: string;
  readonly policy: number;
  /** 0 for the service's unix socket, where there is one. */
  readonly quotePort: number;
  /** File with all that the guest boots, for a monitor that takes one; empty for one that is given the parts. */
  readonly igvm: string;
  /** Whether the guest is a mainframe's, which has one way alone. */
  readonly isMainframe: boolean;
}

/** What of it this host has. */
export interface ProtectionFacts {
  readonly accelerator: Accelerator;
  /** Parameters of KVM's modules; undefined where there is none. */
  readonly snp: string | undefined;
  readonly tdx: string | undefined;
  /** Position of the encryption bit in page tables. */
  readonly encryptionBit: number;
  /** Whether the host's firmware runs guests of Secure Execution; undefined where there is none. */
  readonly secureExecution: string | undefined;
  /** The quote service's socket; empty if there is none. */
  readonly quoteSocket: string;
}

const SNP_PARAMETER = "/sys/module/kvm_amd/parameters/sev_snp";
const TDX_PARAMETER = "/sys/module/kvm_intel/parameters/tdx";
const SE_PARAMETER = "/sys/firmware/uv/prot_virt_host";
const QUOTE_SOCKET = "/var/run/tdx-qgs/qgs.socket";
/** Of all processors with SEV-SNP so far. */
const USUAL_ENCRYPTION_BIT = 51;

/** @throws KataError `unsupported` or `invalid-configuration` for what cannot be kept together with it. */
export function confidentialWish({ driver, hypervisor }: Configuration): ConfidentialWish | undefined {
  if (!hypervisor.confidential_guest) return undefined;
  if (driver !== "qemu" && driver !== "clh")
    throw refused(
      "unsupported",
      `hypervisor ${driver}`,
      "only QEMU and Cloud Hypervisor start confidential guests",
    );
  if (driver === "clh" && hypervisor.igvm === "") {
    throw refused(
      "invalid-configuration",
      "igvm is empty",
      "set it to the file with the guest's firmware, kernel and parameters",
    );
  }
  const isMainframe = guestArchitecture(hypervisor.machine_type) === "s390x";
  // A mainframe's guest has none.
  if (driver === "qemu" && hypervisor.firmware === "" && !isMainframe) {
    throw refused(
      "invalid-configuration",
      "firmware is empty",
      "set it to an OVMF or TDVF that is made for it",
    );
  }
  if (hypervisor.shared_fs !== "none") {
    throw refused(
      "invalid-configuration",
      `shared_fs = ${JSON.stringify(hypervisor.shared_fs)}`,
      'a file server reads the guest\'s memory; set shared_fs to "none"',
    );
  }
  return {
    // An IGVM file is made for one way.
    snpOnly: driver === "clh" || hypervisor.sev_snp_guest,
    igvm: driver === "clh" ? hypervisor.igvm : "",
    isMainframe: driver === "qemu" && isMainframe,
    idBlock: hypervisor.snp_id_block,
    idAuthentication: hypervisor.snp_id_auth,
    policy: hypervisor.snp_guest_policy,
    quotePort: hypervisor.tdx_quote_generation_service_socket_port,
  };
}

/** What this host has for it. */
export function protectionFacts(accelerator: Accelerator): ProtectionFacts {
  return {
    accelerator,
    snp: readTextFileIfExists(SNP_PARAMETER)?.trim(),
    tdx: readTextFileIfExists(TDX_PARAMETER)?.trim(),
    secureExecution: readTextFileIfExists(SE_PARAMETER)?.trim(),
    encryptionBit: encryptionBit() ?? USUAL_ENCRYPTION_BIT,
    quoteSocket: exists(QUOTE_SOCKET) ? QUOTE_SOCKET : "",
  };
}

/**
 * The guest that `host` can protect as is wished.
 *
 * @param initdata as the annotation has it; empty for none. Its digest becomes part of what is measured.
 * @throws KataError `unsupported` that names what the host lacks.
 */
export function confidentialGuest(
  wish: ConfidentialWish,
  host: ProtectionFacts,
  initdata: string,
): ConfidentialGuest {
  const isOn = (value: string | undefined) => value === "Y" || value === "1";
  const hasKvm = host.accelerator === "kvm";
  if (wish.isMainframe) return secureExecution(hasKvm, isOn(host.secureExecution), host, initdata);
  if (hasKvm && isOn(host.tdx) && !wish.snpOnly) {
    return {
      kind: "tdx",
      configurationId: digestOf(initdata, "tdx"),
      quoteService:
        wish.quotePort === 0 && host.quoteSocket !== ""
          ? { kind: "unix", path: host.quoteSocket }
          : { kind: "vsock", port: wish.quotePort },
    };
  }
  // Microsoft's hypervisor has no parameter to read: the monitor finds out.
  if ((hasKvm && isOn(host.snp)) || (host.accelerator === "mshv" && wish.igvm !== "")) {
    return {
      kind: "sev-snp",
      encryptionBit: host.encryptionBit,
      policy: wish.policy,
      idBlock: wish.idBlock,
      idAuthentication: wish.idAuthentication,
      hostData: digestOf(initdata, "snp"),
      igvm: wish.igvm,
    };
  }
  const missing = [
    ...(hasKvm ? [] : [`a KVM that works (there is ${host.accelerator})`]),
    ...(isOn(host.snp) ? [] : [`SEV-SNP (${SNP_PARAMETER} is ${host.snp ?? "absent"})`]),
    ...(wish.snpOnly || isOn(host.tdx) ? [] : [`TDX (${TDX_PARAMETER} is ${host.tdx ?? "absent"})`]),
  ];
  throw refused(
    "unsupported",
    `this host lacks ${missing.join(", ")}`,
    "run the pod on a host with one of them, or set confidential_guest to false",
  );
}

function secureExecution(
  hasKvm: boolean,
  isOn: boolean,
  { accelerator, secureExecution: found }: ProtectionFacts,
  initdata: string,
): ConfidentialGuest {
  // What is measured is the kernel's file, which was made before.
  if (initdata !== "")
    throw refused("unsupported", "initdata with Secure Execution", "put what it says into the guest's image");
  if (hasKvm && isOn) return { kind: "secure-execution" };
  const missing = [
    ...(hasKvm ? [] : [`a KVM that works (there is ${accelerator})`]),
    ...(isOn ? [] : [`Secure Execution (${SE_PARAMETER} is ${found ?? "absent"})`]),
  ];
  throw refused(
    "unsupported",
    `this host lacks ${missing.join(", ")}`,
    "start the host's kernel with prot_virt=1, or set confidential_guest to false",
  );
}

function digestOf(annotation: string, platform: "tdx" | "snp"): string {
  if (annotation === "") return "";
  const text = unpackInitdata(annotationPayload(annotation), "annotation");
  const { algorithm } = parseInitdata(utf8Decode(text), "annotation");
  return encodeBase64(hostData(initdataDigest(algorithm, text), platform), false, true);
}

const CPUID_DEVICE = "/dev/cpu/0/cpuid";
const ENCRYPTION_LEAF = 0x8000_001f;
const REGISTERS_BYTES = 16;

/** As the processor says, where the host's kernel lets us ask it. Source: cpuid(4). */
function encryptionBit(): number | undefined {
  try {
    using device = open(CPUID_DEVICE, O_RDONLY);
    const registers = new Uint32Array(REGISTERS_BYTES / 4);
    const count = kernel().syscall("pread64", device.fd, registers, REGISTERS_BYTES, ENCRYPTION_LEAF);
    const position = (registers[1] ?? 0) & 0x3f;
    return count === REGISTERS_BYTES && position > 0 ? position : undefined;
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENXIO", "EACCES", "EIO", "ENODEV")) return undefined;
    throw error;
  }
}

function refused(code: string, object: string, hint: string): KataError {
  return new KataError(code, { operation: "start confidential guest", object, hint });
}
