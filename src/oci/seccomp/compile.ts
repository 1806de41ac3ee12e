/**
 * Compiles the seccomp section of a spec to a program for the kernel.
 *
 * ```
 * convention? ─┬─ x86_64 ─ number in which range? (binary search) ─┬─ return
 *              ├─ i386 …                                           └─ compare arguments ─ return
 *              └─ any other: kill
 * ```
 *
 * A call whose answer does not depend on its arguments loads only convention and number, which lets the kernel
 * remember the answer and skip the program from then on.
 * Sources: seccomp(2), Linux Documentation/userspace-api/seccomp_filter.rst.
 */
import { KataError } from "../../kata-error.ts";
import type { Int64, LinuxSeccomp, LinuxSeccompArg } from "../types.ts";
import { filterFlags, SECCOMP_RET_KILL_PROCESS } from "./actions.ts";
import {
  AUDIT_ARCH_X86_64,
  type Convention,
  conventions,
  type MachineArchitecture,
  SECCOMP_ARCHITECTURES,
  X32_BIT,
} from "./architectures.ts";
import {
  FilterAssembler,
  JUMP_EQUAL,
  JUMP_GREATER,
  JUMP_GREATER_OR_EQUAL,
  type Target,
} from "./assembler.ts";
import { type Behaviour, behaviours, type RuleSet, readRules, valueForUnknown } from "./rules.ts";

export interface CompiledSeccomp {
  /** Instructions of 8 bytes (struct sock_filter), at most 4096. */
  readonly program: Uint8Array;
  /** `SECCOMP_FILTER_FLAG_*` for seccomp(2). */
  readonly flags: number;
  /** An action is SCMP_ACT_NOTIFY: seccomp(2) gives back a descriptor, and somebody has to listen to it. */
  readonly notifies: boolean;
}

// struct seccomp_data
const OFFSET_NUMBER = 0;
const OFFSET_ARCHITECTURE = 4;
const OFFSET_ARGUMENTS = 16;

/** A filter leaves the convention of a program that is not listed no call at all, whatever the default is. */
const UNLISTED = SECCOMP_RET_KILL_PROCESS;

/**
 * @param machine whose kernel is to run the program.
 * @throws KataError `invalid-argument` if the section makes no sense or its program would be too long.
 */
export function compileSeccomp(seccomp: LinuxSeccomp, machine: MachineArchitecture): CompiledSeccomp {
  const notifies = [seccomp, ...(seccomp.syscalls ?? [])].some((entry) =>
    "action" in entry ? entry.action === "SCMP_ACT_NOTIFY" : entry.defaultAction === "SCMP_ACT_NOTIFY",
  );
  if (seccomp.listenerMetadata !== undefined && seccomp.listenerPath === undefined) {
    throw invalid("listenerMetadata", "it needs a listenerPath");
  }
  const listed = seccomp.architectures ?? [];
  for (const name of listed) {
    if (!SECCOMP_ARCHITECTURES.includes(name))
      throw invalid(`architecture ${name.slice(0, 80)}`, "there is none of that name");
  }
  const flags = filterFlags(seccomp.flags ?? [], notifies);
  const assembler = new FilterAssembler();
  assembler.continueWith(compileConventions(assembler, readRules(seccomp), conventions(machine, listed)));
  return { program: assembler.assemble(), flags, notifies };
}

/** Tells the conventions apart; the first of the list is looked for first. */
function compileConventions(
  assembler: FilterAssembler,
  rules: RuleSet,
  covered: readonly Convention[],
): Target {
  const byAudit = new Map<number, Range[]>();
  for (const { audit, table } of covered) {
    const ranges = toRanges(behaviours(rules, table), rules.defaultValue, table.last);
    // x32 and x86_64 are one to the kernel, but for the numbers.
    byAudit.set(audit, [...(byAudit.get(audit) ?? []), ...ranges]);
  }
  let target: Target = { kind: "return", value: UNLISTED };
  for (const [audit, ranges] of [...byAudit].reverse()) {
    const inside = compileNumbers(assembler, closeRanges(ranges, rules.defaultValue, audit));
    target = assembler.branch(JUMP_EQUAL, audit, inside, target);
  }
  assembler.continueWith(target);
  return assembler.load(OFFSET_ARCHITECTURE);
}

/** All numbers from `start` to the next range's start do the same. */
interface Range {
  readonly start: number;
  readonly behaviour: Behaviour;
}

function toRanges(all: ReadonlyMap<number, Behaviour>, defaultValue: number, last: number): Range[] {
  const usual: Behaviour = { kind: "always", value: defaultValue };
  const ranges: Range[] = [{ start: last >= X32_BIT ? X32_BIT : 0, behaviour: usual }];
  for (const number of [...all.keys()].sort((a, b) => a - b)) {
    ranges.push(
      { start: number, behaviour: all.get(number) ?? usual },
      { start: number + 1, behaviour: usual },
    );
  }
  ranges.push({ start: last + 1, behaviour: { kind: "always", value: valueForUnknown(defaultValue) } });
  return ranges;
}

/** A tracer's "no call at all". */
const NO_CALL = 0xffff_ffff;

/** Adds what is beyond the named calls, and joins neighbours that do the same. */
function closeRanges(ranges: Range[], defaultValue: number, audit: number): Range[] {
  const hasX32 = ranges.some(({ start }) => start >= X32_BIT);
  // Without this, x32 calls would be taken for calls of x86_64 that nobody has heard of.
  if (!hasX32 && audit === AUDIT_ARCH_X86_64)
    ranges.push({ start: X32_BIT, behaviour: { kind: "always", value: UNLISTED } });
  ranges.push({ start: NO_CALL, behaviour: { kind: "always", value: defaultValue } });
  const joined: (Range & { readonly key: string })[] = [];
  for (const range of ranges) {
    const key = behaviourKey(range.behaviour);
    // Two that begin at one number: the later is meant, the earlier is an empty range.
    if (joined.at(-1)?.start === range.start) joined.pop();
    if (joined.at(-1)?.key !== key) joined.push({ ...range, key });
  }
  return joined;
}

function behaviourKey(behaviour: Behaviour): string {
  if (behaviour.kind === "always") return String(behaviour.value);
  return behaviour.rules
    .map(({ args, value }) => {
      const conditions = args.map(
        ({ index, op, value: left, valueTwo }) => `${index} ${op} ${left} ${valueTwo ?? 0}`,
      );
      return `${conditions.join(",")}:${value}`;
    })
    .join(";");
}

/** Binary search for the number's range. Blocks that compare arguments are shared and stand behind the search. */
function compileNumbers(assembler: FilterAssembler, ranges: readonly Range[]): Target {
  const blocks = new Map<string, Target>();
  const targets = ranges.map(({ behaviour }): Target => {
    if (behaviour.kind === "always") return { kind: "return", value: behaviour.value };
    const key = behaviourKey(behaviour);
    const block = blocks.get(key) ?? compileRules(assembler, behaviour);
    blocks.set(key, block);
    return block;
  });
  const search = (from: number, to: number): Target => {
    const only = targets[from];
    if (only === undefined) throw new RangeError(`no range ${from}`);
    if (to - from === 1) return only;
    const middle = (from + to) >> 1;
    const above = search(middle, to);
    const below = search(from, middle);
    return assembler.branch(JUMP_GREATER_OR_EQUAL, ranges[middle]?.start ?? 0, above, below);
  };
  assembler.continueWith(search(0, ranges.length));
  return assembler.load(OFFSET_NUMBER);
}

function compileRules(assembler: FilterAssembler, behaviour: Behaviour & { kind: "rules" }): Target {
  let next: Target = { kind: "return", value: behaviour.otherwise };
  for (const { args, value } of behaviour.rules.toReversed()) {
    const otherwise: Target = next;
    next = args.reduceRight<Target>((pass, arg) => compileCondition(assembler, arg, pass, otherwise), {
      kind: "return",
      value,
    });
  }
  return next;
}

/** A 64-bit comparison in two halves, high one first. */
function compileCondition(
  assembler: FilterAssembler,
  arg: LinuxSeccompArg,
  pass: Target,
  fail: Target,
): Target {
  const compare = { assembler, index: arg.index, value: arg.value };
  switch (arg.op) {
    case "SCMP_CMP_EQ":
      return compareEqual(compare, pass, fail);
    case "SCMP_CMP_NE":
      return compareEqual(compare, fail, pass);
    case "SCMP_CMP_GT":
      return compareGreater(compare, JUMP_GREATER, pass, fail);
    case "SCMP_CMP_GE":
      return compareGreater(compare, JUMP_GREATER_OR_EQUAL, pass, fail);
    case "SCMP_CMP_LE":
      return compareGreater(compare, JUMP_GREATER, fail, pass);
    case "SCMP_CMP_LT":
      return compareGreater(compare, JUMP_GREATER_OR_EQUAL, fail, pass);
    case "SCMP_CMP_MASKED_EQ":
      return compareEqual({ ...compare, value: arg.valueTwo ?? 0, mask: arg.value }, pass, fail);
  }
}

interface Comparison {
  readonly assembler: FilterAssembler;
  readonly index: number;
  readonly value: Int64;
  readonly mask?: Int64;
}

function halves(value: Int64): readonly [high: number, low: number] {
  // Not BigInt.asUintN(64): QuickJS 2025-04-26 answers with a negative number from 2^63 on.
  const bits = BigInt(value) & 0xffff_ffff_ffff_ffffn;
  return [Number(bits >> 32n), Number(bits & 0xffff_ffffn)];
}

const ALL_BITS = 0xffff_ffff;

function compareEqual({ assembler, index, value, mask }: Comparison, pass: Target, fail: Target): Target {
  const offset = OFFSET_ARGUMENTS + 8 * index;
  const [high, low] = halves(value);
  const [highMask, lowMask] = mask === undefined ? [ALL_BITS, ALL_BITS] : halves(mask);
  assembler.branch(JUMP_EQUAL, low, pass, fail);
  if (lowMask !== ALL_BITS) assembler.and(lowMask);
  const lowHalf = assembler.load(offset);
  assembler.branch(JUMP_EQUAL, high, lowHalf, fail);
  if (highMask !== ALL_BITS) assembler.and(highMask);
  return assembler.load(offset + 4);
}

function compareGreater(
  { assembler, index, value }: Comparison,
  lowCode: number,
  pass: Target,
  fail: Target,
): Target {
  const offset = OFFSET_ARGUMENTS + 8 * index;
  const [high, low] = halves(value);
  assembler.branch(lowCode, low, pass, fail);
  const lowHalf = assembler.load(offset);
  const notGreater = assembler.branch(JUMP_EQUAL, high, lowHalf, fail);
  assembler.branch(JUMP_GREATER, high, pass, notGreater);
  return assembler.load(offset + 4);
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "compile seccomp filter", object, hint });
}
