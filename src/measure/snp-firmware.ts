/**
 * What a confidential machine's firmware (OVMF) says of itself in the table at its end.
 *
 * The table is read backwards: each entry is data, a length of 16 bits for all of it, and a GUID. Sources: edk2,
 * OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm and OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm.
 */
import { KataError } from "../kata-error.ts";

const FOUR_GIB = 0x1_0000_0000;
const GUID_BYTES = 16;
const ENTRY_BYTES = GUID_BYTES + 2;
/** From the end of the file to the end of the table. */
const AFTER_TABLE = 32;
const MAX_SECTIONS = 1024;

const FOOTER = "96b582de-1fb2-45f7-baea-a366c55a082d";
const HASH_TABLE = "7255371f-3a3b-4b04-927b-1da6efa8d454";
const RESET_BLOCK = "00f771de-1a7e-4fcb-890e-68c77e2fb44e";
const METADATA = "dc886566-984a-4798-a75e-5585a7bf67cc";
const METADATA_SIGNATURE = "ASEV";

/** Pages that the launcher makes before the machine starts. */
export type SectionKind = "zeros" | "secrets" | "cpuid" | "caa" | "kernel-hashes";

const SECTION_KINDS: ReadonlyMap<number, SectionKind> = new Map([
  [1, "zeros"],
  [2, "secrets"],
  [3, "cpuid"],
  [4, "caa"],
  [0x10, "kernel-hashes"],
]);

export interface FirmwareSection {
  /** Guest physical address, bytes. */
  readonly address: number;
  readonly bytes: number;
  readonly kind: SectionKind;
}

export interface SnpFirmware {
  readonly image: Uint8Array;
  /** Where it is in the guest: right below 4 GiB. */
  readonly address: number;
  /** Where the hashes of kernel, initrd and command line go; undefined if it takes none. */
  readonly hashTable: number | undefined;
  /** Where all processors but the first begin. */
  readonly resetAddress: number;
  readonly sections: readonly FirmwareSection[];
}

/** A GUID as it stands in memory: the first three fields are little-endian. */
export function guidBytes(text: string): Uint8Array {
  const hex = text.replaceAll("-", "");
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Uint8Array.from(order, (at) => Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16));
}

function invalid(hint: string): KataError {
  return new KataError("invalid-firmware", { operation: "read firmware", object: "OVMF image", hint });
}

/** @throws KataError `invalid-firmware` if it is not made for SEV-SNP. */
export function readSnpFirmware(image: Uint8Array): SnpFirmware {
  const entries = footerEntries(image);
  const reset = entries.get(RESET_BLOCK);
  if (reset === undefined)
    throw invalid("it does not say where processors begin: it is not made for SEV-ES or SEV-SNP");
  const hashes = entries.get(HASH_TABLE);
  return {
    image,
    address: FOUR_GIB - image.length,
    hashTable: hashes === undefined ? undefined : number32(hashes, 0),
    resetAddress: number32(reset, 0),
    sections: readSections(image, entries.get(METADATA)),
  };
}

function number32(bytes: Uint8Array, at: number): number {
  if (at < 0 || at + 4 > bytes.length) throw invalid("a number is outside of it");
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);
}

function number16(bytes: Uint8Array, at: number): number {
  if (at < 0 || at + 2 > bytes.length) throw invalid("a number is outside of it");
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

function footerEntries(image: Uint8Array): Map<string, Uint8Array> {
  const end = image.length - AFTER_TABLE;
  const entries = new Map<string, Uint8Array>();
  if (image.length % 4096 !== 0 || guidAt(image, end - GUID_BYTES) !== FOOTER) {
    throw invalid("it has no table at its end");
  }
  const start = end - number16(image, end - ENTRY_BYTES);
  for (let at = end - ENTRY_BYTES; at - ENTRY_BYTES >= start; ) {
    const bytes = number16(image, at - ENTRY_BYTES);
    if (bytes < ENTRY_BYTES || at - bytes < start)
      throw invalid("an entry of its table has an impossible length");
    entries.set(guidAt(image, at - GUID_BYTES), image.subarray(at - bytes, at - ENTRY_BYTES));
    at -= bytes;
  }
  return entries;
}

const KNOWN = [FOOTER, HASH_TABLE, RESET_BLOCK, METADATA].map((text) => [text, guidBytes(text)] as const);

/** The GUID at a place if it is one of those that are looked for, otherwise the place. */
function guidAt(image: Uint8Array, at: number): string {
  const found = KNOWN.find(([, bytes]) => bytes.every((byte, index) => image[at + index] === byte));
  return found?.[0] ?? `at ${at}`;
}

function readSections(image: Uint8Array, entry: Uint8Array | undefined): FirmwareSection[] {
  if (entry === undefined) return [];
  const start = image.length - number32(entry, 0);
  const signature = String.fromCharCode(...image.subarray(start, start + 4));
  if (start < 0 || signature !== METADATA_SIGNATURE) throw invalid("its metadata has another signature");
  const count = number32(image, start + 12);
  if (count > MAX_SECTIONS) throw invalid(`it has ${count} sections`);
  return Array.from({ length: count }, (_, index) => {
    const at = start + 16 + 12 * index;
    const kind = SECTION_KINDS.get(number32(image, at + 8));
    if (kind === undefined) throw invalid(`a section is of the unknown kind ${number32(image, at + 8)}`);
    return { address: number32(image, at), bytes: number32(image, at + 4), kind };
  });
}
