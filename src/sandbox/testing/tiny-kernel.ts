/**
 * A kernel of a few bytes, for tests of a machine without a guest: it writes a text to the first serial port, then halts or
 * resets the machine.
 *
 * A 64-bit ELF file with a PVH entry: the machine jumps to it in 32-bit protected mode.
 * Sources: ELF-64 object file format; Xen, "x86/HVM direct boot ABI".
 */
import { writeFile } from "../../sys/files.ts";
import { utf8Encode } from "../../sys/utf8.ts";

/** Where the file is loaded, 1 MiB: the first memory that no firmware uses. */
const LOAD_ADDRESS = 0x10_0000;
const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const NOTE_AT = ELF_HEADER_BYTES + 2 * PROGRAM_HEADER_BYTES;
const NOTE_BYTES = 24;
const CODE_AT = NOTE_AT + NOTE_BYTES;

const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** lodsb; test al,al; jz +3; out dx,al; jmp -8 */
const PRINT = [0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8];
/** hlt; jmp -3 */
const HALT = [0xf4, 0xeb, 0xfd];
/** mov al,0xfe; out 0x64,al: the keyboard controller's reset line; then halt. */
const RESET = [0xb0, 0xfe, 0xe6, 0x64, ...HALT];

/** Writes the kernel to `path`. */
export function writeTinyKernel(path: string, text: string, end: "halt" | "reset"): void {
  const ending = end === "halt" ? HALT : RESET;
  const codeBytes = 5 + 4 + PRINT.length + ending.length;
  const textAddress = LOAD_ADDRESS + CODE_AT + codeBytes;
  const words = new Uint8Array(new Uint32Array([textAddress]).buffer);
  // mov esi,TEXT; mov dx,0x3f8
  const code = [0xbe, ...words, 0x66, 0xba, 0xf8, 0x03, ...PRINT, ...ending];
  const content = [...code, ...utf8Encode(text), 0];
  const size = CODE_AT + content.length;
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // executable
  view.setUint16(18, EM_X86_64, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(LOAD_ADDRESS + CODE_AT), true);
  view.setBigUint64(32, BigInt(ELF_HEADER_BYTES), true);
  view.setUint16(52, ELF_HEADER_BYTES, true);
  view.setUint16(54, PROGRAM_HEADER_BYTES, true);
  view.setUint16(56, 2, true);
  programHeader(view, ELF_HEADER_BYTES, PT_LOAD, 0, size, 0x1000);
  programHeader(view, ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES, PT_NOTE, NOTE_AT, NOTE_BYTES, 4);
  view.setUint32(NOTE_AT, 4, true);
  view.setUint32(NOTE_AT + 4, 8, true);
  view.setUint32(NOTE_AT + 8, XEN_ELFNOTE_PHYS32_ENTRY, true);
  file.set(utf8Encode("Xen"), NOTE_AT + 12);
  view.setBigUint64(NOTE_AT + 16, BigInt(LOAD_ADDRESS + CODE_AT), true);
  file.set(content, CODE_AT);
  writeFile(path, file, 0o644);
}

function programHeader(
  view: DataView,
  at: number,
  type: number,
  offset: number,
  size: number,
  align: number,
): void {
  view.setUint32(at, type, true);
  view.setUint32(at + 4, 7, true);
  view.setBigUint64(at + 8, BigInt(offset), true);
  for (const field of [16, 24]) view.setBigUint64(at + field, BigInt(LOAD_ADDRESS + offset), true);
  for (const field of [32, 40]) view.setBigUint64(at + field, BigInt(size), true);
  view.setBigUint64(at + 48, BigInt(align), true);
}
