/** What an emulated processor could get wrong: it keeps translations of code, and files reach the guest's memory past it. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { test } from "../harness/workbench.ts";

const PROGRAMS = 60;
/** Of code in each program: some of them find their way to where the same page of another one was. */
const PAGES = 48;
const PAGE_BYTES = 4096;
const BASE = 0x40_0000n;
const ELF_HEADER_BYTES = 64;
const SEGMENT_HEADER_BYTES = 56;

/**
 * A program for x86_64 that adds `step` in each of its pages and ends with the sum. All have the same addresses, and no page is another's.
 * Sources: elf(5); Intel's manual, volume 2 (lea, jmp rel32, mov r32, imm32, syscall); exit_group(2).
 */
function addingProgram(step: number): Buffer {
  const at = ELF_HEADER_BYTES + SEGMENT_HEADER_BYTES;
  const file = Buffer.alloc(PAGES * PAGE_BYTES);
  // 64 bits, little endian; an executable file for x86_64, of version 1.
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(62, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BASE + BigInt(at), 24);
  file.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 32);
  file.writeUInt16LE(ELF_HEADER_BYTES, 52);
  file.writeUInt16LE(SEGMENT_HEADER_BYTES, 54);
  file.writeUInt16LE(1, 56);
  // All of it is loaded (PT_LOAD), to be read and executed.
  file.writeUInt32LE(1, ELF_HEADER_BYTES);
  file.writeUInt32LE(5, ELF_HEADER_BYTES + 4);
  for (const offset of [16, 24]) file.writeBigUInt64LE(BASE, ELF_HEADER_BYTES + offset);
  for (const offset of [32, 40]) file.writeBigUInt64LE(BigInt(file.length), ELF_HEADER_BYTES + offset);
  file.writeBigUInt64LE(BigInt(PAGE_BYTES), ELF_HEADER_BYTES + 48);
  // lea edi, [rdi + step]; jmp to the same place of the next page.
  const jump = Buffer.from([0x8d, 0x7f, step, 0xe9, 0, 0, 0, 0]);
  jump.writeInt32LE(PAGE_BYTES - jump.length, 4);
  for (let page = 0; page < PAGES - 1; page++) file.set(jump, page * PAGE_BYTES + at);
  // lea edi, [rdi + step]; mov eax, 231; syscall.
  const exit = [0x8d, 0x7f, step, 0xb8, 0xe7, 0, 0, 0, 0x0f, 0x05];
  file.set(exit, (PAGES - 1) * PAGE_BYTES + at);
  return file;
}

test("a program runs its own code, where another one's was at the same address of the same memory", async ({
  bench,
}) => {
  const programs = join(bench.scratch, "programs");
  mkdirSync(programs);
  const steps = Array.from({ length: PROGRAMS }, (_, index) => index + 1);
  for (const step of steps) {
    const path = join(programs, `${step}`);
    writeFileSync(path, addingProgram(step));
    chmodSync(path, 0o755);
  }
  // Each one's memory is free for the next when its file is gone.
  const script = `i=1; while [ $i -le ${PROGRAMS} ]; do /programs/$i; echo $?; rm /programs/$i; i=$((i + 1)); done`;
  const mount = ["--mount", `type=bind,src=${programs},dst=/programs,options=rbind:rw`];
  const { status, stdout, stderr } = await bench.run(script, mount);
  expect({ status, stderr, stdout }).toEqual({
    status: 0,
    stderr: "",
    stdout: `${steps.map((step) => (step * PAGES) % 256).join("\n")}\n`,
  });
});
