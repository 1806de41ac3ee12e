/**
 * The kernel proper (`vmlinux`) inside of a `bzImage`.
 *
 * A VMM that starts an ELF kernel at its PVH entry saves the guest unpacking it, which is slow where the processor is emulated.
 * Source: Linux Documentation/arch/x86/boot.rst; Xen docs/misc/pvh.pandoc; elf(5).
 */
import { gunzipSync } from "node:zlib";
import { KataError } from "../kata-error.ts";
import {
  dataView,
  type ElfSegment,
  elfSegments,
  PT_LOAD,
  PT_NOTE,
  SECTION_COUNT_FIELD,
  SECTION_NAMES_FIELD,
  SECTION_TABLE_FIELD,
  SEGMENT_SIZE_FIELD,
} from "./elf.ts";
import { decompressLegacyLz4, isLegacyLz4 } from "./lz4-legacy.ts";

/** Offsets in the image. */
const SETUP_SECTORS = 0x1f1;
const MAGIC = 0x202;
const VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;

const HEADER_MAGIC = 0x53726448; // "HdrS"
/** The first version of the boot protocol that says where the payload is. */
const PAYLOAD_VERSION = 0x0208;
const SECTOR_BYTES = 512;

/** No kernel is near this size; the number is read from the image, bytes. */
const MAX_KERNEL_BYTES = 512 << 20;

/** What messages call the ELF file. */
const OBJECT = "unpacked kernel";

/** XEN_ELFNOTE_PHYS32_ENTRY: where a PVH boot begins. */
const PVH_ENTRY_NOTE = 18;

/**
 * The kernel's ELF file, cut down to what is loaded: without section table, relocations, and zeros at the ends of segments.
 *
 * @returns undefined if the kernel is packed in a way that is not known here, or has no PVH entry: then only the bzImage boots.
 * @throws KataError `malformed-kernel`, `malformed-lz4` or `malformed-elf` if `image` is no bzImage or contradicts itself.
 */
export function vmlinuxOf(image: Uint8Array): Uint8Array | undefined {
  const kernel = unpacked(payloadOf(image));
  if (kernel === undefined || !hasPvhEntry(kernel)) return undefined;
  return loadedParts(kernel);
}

function payloadOf(image: Uint8Array): Uint8Array {
  const view = dataView(image);
  if (image.length < PAYLOAD_LENGTH + 4 || view.getUint32(MAGIC, true) !== HEADER_MAGIC) {
    throw malformed("it has no boot header");
  }
  if (view.getUint16(VERSION, true) < PAYLOAD_VERSION)
    throw malformed("its boot protocol is older than 2.08");
  // 0 means 4, for the sake of very old kernels.
  const start = ((image[SETUP_SECTORS] || 4) + 1) * SECTOR_BYTES + view.getUint32(PAYLOAD_OFFSET, true);
  const end = start + view.getUint32(PAYLOAD_LENGTH, true);
  if (end > image.length) throw malformed("its payload goes beyond its end");
  return image.subarray(start, end);
}

function unpacked(payload: Uint8Array): Uint8Array | undefined {
  // The kernel's build puts the unpacked size behind formats that do not hold it.
  const size = payload.length < 8 ? 0 : dataView(payload).getUint32(payload.length - 4, true);
  if (size > MAX_KERNEL_BYTES) throw malformed(`it says that it unpacks to ${size} bytes`);
  if (isLegacyLz4(payload)) return decompressLegacyLz4(payload.subarray(0, payload.length - 4), size);
  if (payload[0] === 0x1f && payload[1] === 0x8b)
    return gunzipSync(payload, { maxOutputLength: MAX_KERNEL_BYTES });
  return undefined;
}

/** Notes: name size, description size, type, name, description, the last two padded to four bytes. */
function hasPvhEntry(kernel: Uint8Array): boolean {
  for (const { type, offset, size } of elfSegments(kernel, OBJECT)) {
    if (type !== PT_NOTE) continue;
    const view = new DataView(kernel.buffer, kernel.byteOffset + offset, size);
    let at = 0;
    while (at + 12 <= size) {
      if (view.getUint32(at + 8, true) === PVH_ENTRY_NOTE) return true;
      at += 12 + ((view.getUint32(at, true) + 3) & ~3) + ((view.getUint32(at + 4, true) + 3) & ~3);
    }
  }
  return false;
}

function loadedParts(kernel: Uint8Array): Uint8Array {
  const segments = elfSegments(kernel, OBJECT).filter(({ type }) => type === PT_LOAD);
  const trimmed = segments.map((segment) => ({
    ...segment,
    size: segment.size - zerosAtEnd(kernel, segment),
  }));
  const end = Math.max(...trimmed.map(({ offset, size }) => offset + size));
  const output = kernel.slice(0, end);
  const view = dataView(output);
  // What is loaded beyond the file's size of a segment is zero anyway.
  for (const { header, size } of trimmed) view.setBigUint64(header + SEGMENT_SIZE_FIELD, BigInt(size), true);
  // Says that there is no section table: it was behind the segments.
  view.setBigUint64(SECTION_TABLE_FIELD, 0n, true);
  view.setUint16(SECTION_COUNT_FIELD, 0, true);
  view.setUint16(SECTION_NAMES_FIELD, 0, true);
  return output;
}

function zerosAtEnd(kernel: Uint8Array, { offset, size }: ElfSegment): number {
  let zeros = 0;
  while (zeros < size && kernel[offset + size - 1 - zeros] === 0) zeros++;
  return zeros;
}

function malformed(what: string): KataError {
  return new KataError("malformed-kernel", { operation: "read kernel image", object: what });
}
