/** Reading 64-bit little-endian ELF files: the kernel, its modules and the agent. Source: elf(5). */
import { KataError } from "../kata-error.ts";

export interface ElfSegment {
  readonly type: number;
  /** Of its program header, bytes from the start of the file. */
  readonly header: number;
  readonly offset: number;
  /** In the file, bytes. */
  readonly size: number;
}

export interface ElfSection {
  readonly name: string;
  readonly content: Uint8Array;
}

export const PT_LOAD = 1;
export const PT_INTERP = 3;
export const PT_NOTE = 4;

/** Where a program header has the segment's size in the file, bytes. */
export const SEGMENT_SIZE_FIELD = 32;

/** Fields of the file header that describe the section table. */
export const SECTION_TABLE_FIELD = 0x28;
export const SECTION_COUNT_FIELD = 0x3c;
export const SECTION_NAMES_FIELD = 0x3e;

const PROGRAM_TABLE_FIELD = 0x20;
const PROGRAM_HEADER_SIZE_FIELD = 0x36;
const PROGRAM_COUNT_FIELD = 0x38;
const MACHINE_FIELD = 0x12;

const MAGIC = 0x7f454c46;
const FILE_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const SECTION_HEADER_BYTES = 64;

/** Names of machines, as Debian calls them, by `e_machine`. */
const MACHINES: Readonly<Record<number, string>> = { 62: "amd64", 183: "arm64" };

/** Debian's name of the architecture that the file is for. */
export function elfArchitecture(data: Uint8Array, file: string): string {
  const machine = fileView(data, file).getUint16(MACHINE_FIELD, true);
  return MACHINES[machine] ?? `machine ${machine}`;
}

/**
 * The program headers, in order.
 *
 * @param file for messages.
 * @throws KataError `malformed-elf` if `data` is no such file or contradicts itself.
 */
export function elfSegments(data: Uint8Array, file: string): ElfSegment[] {
  const view = fileView(data, file);
  const table = position(view, PROGRAM_TABLE_FIELD, file);
  const count = view.getUint16(PROGRAM_COUNT_FIELD, true);
  if (count === 0) return [];
  const fits = table + count * PROGRAM_HEADER_BYTES <= data.length;
  if (view.getUint16(PROGRAM_HEADER_SIZE_FIELD, true) !== PROGRAM_HEADER_BYTES || !fits) {
    throw malformed(file, "its program headers do not fit");
  }
  return Array.from({ length: count }, (_, index) => {
    const header = table + index * PROGRAM_HEADER_BYTES;
    const offset = position(view, header + 8, file);
    const size = position(view, header + SEGMENT_SIZE_FIELD, file);
    if (offset + size > data.length) throw malformed(file, `segment ${index} goes beyond its end`);
    return { type: view.getUint32(header, true), header, offset, size };
  });
}

/**
 * The sections that have content in the file.
 *
 * @param file for messages.
 * @throws KataError `malformed-elf` if `data` is no such file or contradicts itself.
 */
export function elfSections(data: Uint8Array, file: string): ElfSection[] {
  const view = fileView(data, file);
  const table = position(view, SECTION_TABLE_FIELD, file);
  const count = view.getUint16(SECTION_COUNT_FIELD, true);
  if (table + count * SECTION_HEADER_BYTES > data.length)
    throw malformed(file, "its section headers do not fit");
  const raw = Array.from({ length: count }, (_, index) => {
    const header = table + index * SECTION_HEADER_BYTES;
    // SHT_NOBITS: no content, whatever the size says.
    if (view.getUint32(header + 4, true) === 8)
      return { name: view.getUint32(header, true), content: new Uint8Array() };
    const offset = position(view, header + 24, file);
    const size = position(view, header + 32, file);
    if (offset + size > data.length) throw malformed(file, `section ${index} goes beyond its end`);
    return { name: view.getUint32(header, true), content: data.subarray(offset, offset + size) };
  });
  const names = raw[view.getUint16(SECTION_NAMES_FIELD, true)]?.content ?? new Uint8Array();
  return raw.map(({ name, content }) => ({ name: textAt(names, name), content }));
}

export function dataView(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

function fileView(data: Uint8Array, file: string): DataView {
  const view = dataView(data);
  // Class 2 is 64 bits, data 1 is little-endian.
  if (data.length < FILE_HEADER_BYTES || view.getUint32(0) !== MAGIC || data[4] !== 2 || data[5] !== 1) {
    throw malformed(file, "it is no 64-bit little-endian ELF file");
  }
  return view;
}

/** A 64-bit field that must be a position or size within the file. */
function position(view: DataView, field: number, file: string): number {
  const value = view.getBigUint64(field, true);
  if (value > BigInt(view.byteLength))
    throw malformed(file, `the field at ${field} is ${value}, beyond its end`);
  return Number(value);
}

function textAt(names: Uint8Array, offset: number): string {
  const end = names.indexOf(0, offset);
  return new TextDecoder("latin1").decode(names.subarray(offset, end < 0 ? undefined : end));
}

function malformed(file: string, what: string): KataError {
  return new KataError("malformed-elf", { operation: "read ELF file", object: `${file}: ${what}` });
}
