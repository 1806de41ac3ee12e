/**
 * The state that a processor of a confidential machine starts in, as QEMU gives it to the hardware: a page of the guest that is
 * measured like any other.
 *
 * Sources: AMD64 Architecture Programmer's Manual 2, table B-4 (layout); QEMU's and KVM's start values.
 */
const PAGE = 4096;

/** Where the first processor begins. */
export const FIRST_ADDRESS = 0xffff_fff0;

/** Offsets of what is not zero. Source: as above. */
const SEGMENTS: readonly (readonly [offset: number, selector: number, attributes: number])[] = [
  [0x00, 0, 0x93],
  [0x10, 0xf000, 0x9b],
  [0x20, 0, 0x93],
  [0x30, 0, 0x93],
  [0x40, 0, 0x93],
  [0x50, 0, 0x93],
  [0x60, 0, 0],
  [0x70, 0, 0x82],
  [0x80, 0, 0],
  [0x90, 0, 0x8b],
];
const CODE_SEGMENT = 0x10;
const SEGMENT_LIMIT = 0xffff;
const VALUES: readonly (readonly [offset: number, value: bigint])[] = [
  // EFER.SVME, which KVM sets.
  [0xd0, 0x1000n],
  // CR4.MCE, which KVM sets.
  [0x148, 0x40n],
  // CR0.ET.
  [0x158, 0x10n],
  [0x160, 0x400n],
  [0x168, 0xffff_0ff0n],
  [0x170, 2n],
  // The page attribute table after a reset.
  [0x268, 0x0007_0406_0007_0406n],
  // XCR0.
  [0x3e8, 1n],
  // MXCSR and the x87 control word after a reset.
  [0x408, 0x1f80n],
  [0x410, 0x37fn],
];
const INSTRUCTION_POINTER = 0x178;
const RDX = 0x310;
const SEV_FEATURES = 0x3b0;

export interface ProcessorStart {
  readonly address: number;
  /** CPUID's signature of the model: family, model, stepping. */
  readonly signature: number;
  /** SEV_FEATURES: bit 0 is SEV-SNP itself. */
  readonly features: number;
}

/** The page of one processor. */
export function processorPage({ address, signature, features }: ProcessorStart): Uint8Array {
  const page = new Uint8Array(PAGE);
  const view = new DataView(page.buffer);
  for (const [offset, selector, attributes] of SEGMENTS) {
    view.setUint16(offset, selector, true);
    view.setUint16(offset + 2, attributes, true);
    view.setUint32(offset + 4, SEGMENT_LIMIT, true);
  }
  view.setBigUint64(CODE_SEGMENT + 8, BigInt(address) & 0xffff_0000n, true);
  for (const [offset, value] of VALUES) view.setBigUint64(offset, value, true);
  view.setBigUint64(INSTRUCTION_POINTER, BigInt(address & 0xffff), true);
  view.setBigUint64(RDX, BigInt(signature), true);
  view.setBigUint64(SEV_FEATURES, BigInt(features), true);
  return page;
}

/** CPUID Fn0000_0001_EAX. Source: AMD CPUID Specification 25481. */
function signatureOf(family: number, model: number, stepping: number): number {
  const [low, high] = family > 0xf ? [0xf, (family - 0xf) & 0xff] : [family, 0];
  return (high << 20) | ((model >> 4) << 16) | (low << 8) | ((model & 0xf) << 4) | stepping;
}

/** QEMU's processor models by their families; `-vN` stands for the same. */
const MODELS: Readonly<Record<string, number>> = {
  EPYC: signatureOf(23, 1, 2),
  "EPYC-IBPB": signatureOf(23, 1, 2),
  "EPYC-Rome": signatureOf(23, 49, 0),
  "EPYC-Milan": signatureOf(25, 1, 1),
  "EPYC-Genoa": signatureOf(25, 17, 0),
  "EPYC-Turin": signatureOf(26, 0, 0),
};

export const PROCESSOR_MODELS: readonly string[] = Object.keys(MODELS);

/** The signature of a processor model of QEMU; undefined if it is not known. */
export function processorSignature(model: string): number | undefined {
  const base = model.replace(/-v\d+$/, "");
  return Object.hasOwn(MODELS, base) ? MODELS[base] : undefined;
}
