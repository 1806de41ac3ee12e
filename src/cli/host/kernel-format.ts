/** What kind of kernel a file holds, by its first bytes. */
import type { KernelFormat } from "./host-facts.ts";

/** As much of a file as is needed to tell. */
export const KERNEL_HEAD_BYTES = 0x206;

/** `HdrS` of the boot protocol. Source: Linux Documentation/arch/x86/boot.rst. */
const X86_MAGIC_AT = 0x202;
const X86_MAGIC = [0x48, 0x64, 0x72, 0x53];
const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46];
/** `ARM\x64`. Source: Linux Documentation/arch/arm64/booting.rst. */
const ARM64_MAGIC_AT = 56;
const ARM64_MAGIC = [0x41, 0x52, 0x4d, 0x64];

export function kernelFormat(head: Uint8Array): KernelFormat {
  const has = (at: number, magic: readonly number[]) =>
    magic.every((byte, index) => head[at + index] === byte);
  if (has(0, ELF_MAGIC)) return "ELF";
  if (has(X86_MAGIC_AT, X86_MAGIC)) return "bzImage";
  if (has(ARM64_MAGIC_AT, ARM64_MAGIC)) return "arm64 Image";
  return "unknown";
}
