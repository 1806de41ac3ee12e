/**
 * Compiles device rules to an eBPF program for a cgroup of version 2 (`BPF_PROG_TYPE_CGROUP_DEVICE`).
 *
 * The program keeps the kinds of access that nobody has granted yet and goes through the rules from the last to the first:
 * one that allows takes kinds away until none is left, one that denies ends it if a kind of its own is still there.
 * Sources: bpf(2), linux/bpf.h (struct bpf_cgroup_dev_ctx), Linux Documentation/bpf/standardization/instruction-set.rst.
 */
import { ACCESS_ALL, type DeviceRule, readDeviceRules } from "./device-rules.ts";
import type { LinuxDeviceCgroup } from "./types.ts";

/** Size of struct bpf_insn. */
const INSTRUCTION_BYTES = 8;

const LOAD_WORD = 0x61;
const MOVE_REGISTER = 0xbc;
const MOVE_CONSTANT = 0xb7;
const AND_CONSTANT = 0x54;
const SHIFT_RIGHT = 0x74;
const JUMP_EQUAL = 0x15;
const JUMP_NOT_EQUAL = 0x55;
const EXIT = 0x95;

const RESULT = 0;
const CONTEXT = 1;
const WANTED = 2;
const TYPE = 3;
const MAJOR = 4;
const MINOR = 5;
const SCRATCH = 6;

/** `BPF_DEVCG_DEV_*`. */
const TYPE_NUMBERS = { b: 1, c: 2 } as const;

type Instruction = readonly [
  code: number,
  destination: number,
  source: number,
  offset: number,
  constant: number,
];

/**
 * @param rules in order; what none of them matches is denied.
 * @returns instructions of 8 bytes, at most 4096.
 * @throws KataError `invalid-argument` for a rule that is none.
 */
export function compileDeviceProgram(rules: readonly LinuxDeviceCgroup[]): Uint8Array {
  const program: Instruction[] = [
    [LOAD_WORD, WANTED, CONTEXT, 0, 0],
    [MOVE_REGISTER, TYPE, WANTED, 0, 0],
    [AND_CONSTANT, TYPE, 0, 0, 0xffff],
    [SHIFT_RIGHT, WANTED, 0, 0, 16],
    [LOAD_WORD, MAJOR, CONTEXT, 4, 0],
    [LOAD_WORD, MINOR, CONTEXT, 8, 0],
  ];
  let decided = false;
  for (const rule of readDeviceRules(rules).reverse()) {
    program.push(...compileRule(rule));
    // What stands behind such a rule is never reached, and the kernel refuses a program with such instructions.
    decided =
      rule.type === undefined &&
      rule.major === undefined &&
      rule.minor === undefined &&
      rule.access === ACCESS_ALL;
    if (decided) break;
  }
  if (!decided) program.push(...answer(false));
  const bytes = new Uint8Array(program.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, [code, destination, source, offset, constant]] of program.entries()) {
    const at = index * INSTRUCTION_BYTES;
    view.setUint8(at, code);
    view.setUint8(at + 1, destination | (source << 4));
    view.setInt16(at + 2, offset, true);
    view.setInt32(at + 4, constant, true);
  }
  return bytes;
}

function answer(allowed: boolean): Instruction[] {
  return [
    [MOVE_CONSTANT, RESULT, 0, 0, allowed ? 1 : 0],
    [EXIT, 0, 0, 0, 0],
  ];
}

function compileRule({ allow, type, major, minor, access }: DeviceRule): Instruction[] {
  const effect: Instruction[] = [];
  if (access !== ACCESS_ALL) {
    if (allow) {
      effect.push([AND_CONSTANT, WANTED, 0, 0, ACCESS_ALL & ~access], [JUMP_NOT_EQUAL, WANTED, 0, 2, 0]);
    } else {
      effect.push(
        [MOVE_REGISTER, SCRATCH, WANTED, 0, 0],
        [AND_CONSTANT, SCRATCH, 0, 0, access],
        [JUMP_EQUAL, SCRATCH, 0, 2, 0],
      );
    }
  }
  effect.push(...answer(allow));
  const tests: [register: number, value: number][] = [];
  if (type !== undefined) tests.push([TYPE, TYPE_NUMBERS[type]]);
  if (major !== undefined) tests.push([MAJOR, major]);
  if (minor !== undefined) tests.push([MINOR, minor]);
  return [
    ...tests.map(([register, value], index): Instruction => {
      const rest = tests.length - index - 1 + effect.length;
      return [JUMP_NOT_EQUAL, register, 0, rest, value];
    }),
    ...effect,
  ];
}
