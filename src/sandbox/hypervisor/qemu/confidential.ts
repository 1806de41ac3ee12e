/**
 * QEMU's arguments for a machine whose memory the host cannot read; pure, as all of its command line is.
 *
 * Sources: QEMU 9.1 and later, qapi/qom.json (SevSnpGuestProperties, TdxGuestProperties; s390-pv-guest since 5.2); upstream's runtime.
 */
import type { ConfidentialGuest } from "../types.ts";

/** The name of the object, which the board refers to. */
const SNP_ID = "snp";
const TDX_ID = "tdx";
const SE_ID = "pv0";
/** Bits of physical addresses that encryption takes. Source: AMD SEV-SNP, CPUID Fn8000_001F. */
const REDUCED_BITS = 1;
/** Where the quote service listens without a socket of its own: the host, by vsock. Source: Intel DCAP. */
const QUOTE_SERVICE_CID = 2;
const DEFAULT_QUOTE_PORT = 4050;

export interface ConfidentialArguments {
  /** More options of the board. */
  readonly board: readonly string[];
  /** The processor's model; undefined for the usual one. */
  readonly model: string | undefined;
  /** Arguments with their flags. */
  readonly objects: readonly string[];
}

export function confidentialArguments(guest: ConfidentialGuest): ConfidentialArguments {
  switch (guest.kind) {
    case "sev-snp":
      return {
        board: [`confidential-guest-support=${SNP_ID}`],
        // Its measurement holds the model's signature, whatever the host's processor is.
        model: "EPYC-v4",
        objects: ["-object", json(snpGuest(guest))],
      };
    case "secure-execution":
      return {
        board: [`confidential-guest-support=${SE_ID}`],
        model: undefined,
        objects: ["-object", json({ "qom-type": "s390-pv-guest", id: SE_ID })],
      };
    case "tdx":
      return {
        board: [`confidential-guest-support=${TDX_ID}`, "kernel-irqchip=split"],
        model: undefined,
        objects: ["-object", json(tdxGuest(guest))],
      };
  }
}

function snpGuest(guest: Extract<ConfidentialGuest, { kind: "sev-snp" }>) {
  return {
    "qom-type": "sev-snp-guest",
    id: SNP_ID,
    cbitpos: guest.encryptionBit,
    "reduced-phys-bits": REDUCED_BITS,
    // The firmware checks kernel, initrd and command line against hashes that are measured.
    "kernel-hashes": true,
    policy: guest.policy,
    ...(guest.idBlock === "" ? {} : { "id-block": guest.idBlock }),
    ...(guest.idAuthentication === "" ? {} : { "id-auth": guest.idAuthentication }),
    ...(guest.hostData === "" ? {} : { "host-data": guest.hostData }),
  };
}

function tdxGuest(guest: Extract<ConfidentialGuest, { kind: "tdx" }>) {
  const service =
    guest.quoteService.kind === "unix"
      ? { type: "unix", path: guest.quoteService.path }
      : {
          type: "vsock",
          cid: `${QUOTE_SERVICE_CID}`,
          port: `${guest.quoteService.port || DEFAULT_QUOTE_PORT}`,
        };
  return {
    "qom-type": "tdx-guest",
    id: TDX_ID,
    ...(guest.configurationId === "" ? {} : { mrconfigid: guest.configurationId }),
    "quote-generation-socket": service,
  };
}

/** QEMU takes an object in JSON as it is: nothing in it is a separator. */
function json(value: unknown): string {
  return JSON.stringify(value);
}
