import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LinuxSeccomp, LinuxSeccompArg, LinuxSyscall, SeccompAction } from "../types.ts";
import {
  AUDIT_ARCH_AARCH64,
  AUDIT_ARCH_I386,
  AUDIT_ARCH_X86_64,
  conventions,
  X32_BIT,
} from "./architectures.ts";
import { compileSeccomp } from "./compile.ts";

interface Call {
  readonly audit: number;
  readonly number: number;
  readonly args: readonly bigint[];
}

/** A classic BPF machine, written from the kernel's filter.rst and not from the compiler. */
function run(program: Uint8Array, call: Call): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call.number, true);
  data.setUint32(4, call.audit, true);
  for (const [index, arg] of call.args.entries()) data.setBigUint64(16 + 8 * index, arg, true);
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const count = program.length / 8;
  let accumulator = 0;
  for (let at = 0; at < count; ) {
    const code = view.getUint16(at * 8, true);
    const k = view.getUint32(at * 8 + 4, true);
    const jump = (holds: boolean) => 1 + view.getUint8(at * 8 + (holds ? 2 : 3));
    switch (code) {
      case 0x20:
        accumulator = data.getUint32(k, true);
        at += 1;
        break;
      case 0x54:
        accumulator = (accumulator & k) >>> 0;
        at += 1;
        break;
      case 0x05:
        at += 1 + k;
        break;
      case 0x15:
        at += jump(accumulator === k);
        break;
      case 0x25:
        at += jump(accumulator > k);
        break;
      case 0x35:
        at += jump(accumulator >= k);
        break;
      case 0x06:
        return k;
      default:
        throw new Error(`instruction ${at} has code ${code}`);
    }
  }
  throw new Error("ran past the end");
}

const ALLOW = 0x7fff_0000;
const KILL_PROCESS = 0x8000_0000;
const errno = (number: number) => 0x0005_0000 + number;

/** What a spec says, rule by rule. */
function evaluate(seccomp: LinuxSeccomp, machine: "x86_64" | "aarch64", call: Call): number {
  const values: Record<SeccompAction, number> = {
    SCMP_ACT_KILL: 0,
    SCMP_ACT_KILL_THREAD: 0,
    SCMP_ACT_KILL_PROCESS: KILL_PROCESS,
    SCMP_ACT_TRAP: 0x3_0000,
    SCMP_ACT_ERRNO: 0x5_0000,
    SCMP_ACT_TRACE: 0x7ff0_0000,
    SCMP_ACT_LOG: 0x7ffc_0000,
    SCMP_ACT_ALLOW: ALLOW,
    SCMP_ACT_NOTIFY: 0x7fc0_0000,
  };
  const value = (action: SeccompAction, ret: number | undefined) =>
    values[action] + (action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE" ? (ret ?? 1) : 0);
  const standard = value(seccomp.defaultAction, seccomp.defaultErrnoRet);
  const covering = conventions(machine, seccomp.architectures ?? []).filter(
    ({ audit }) => audit === call.audit,
  );
  const isX32 = call.audit === AUDIT_ARCH_X86_64 && call.number >= X32_BIT;
  const convention = covering.find(({ table }) => table.last >= X32_BIT === isX32);
  if (covering.length > 0 && call.number === 0xffff_ffff) return standard;
  if (convention === undefined) return KILL_PROCESS;
  const name = [...convention.table.numbers].find(([, number]) => number === call.number)?.[0];
  if (call.number > convention.table.last) return standard >>> 16 === 5 ? errno(38) : standard;
  const named = (seccomp.syscalls ?? [])
    .filter(
      (rule) =>
        name !== undefined && rule.names.includes(name) && value(rule.action, rule.errnoRet) !== standard,
    )
    .flatMap((rule): LinuxSyscall[] => {
      const args = rule.args ?? [];
      const repeats = args.some((arg, at) => args.findIndex(({ index }) => index === arg.index) !== at);
      return repeats ? args.map((arg) => ({ ...rule, args: [arg] })) : [rule];
    });
  const plain = named.find((rule) => (rule.args ?? []).length === 0);
  const matching =
    plain ?? named.find((rule) => (rule.args ?? []).every((arg) => holds(arg, call.args[arg.index] ?? 0n)));
  return matching === undefined ? standard : value(matching.action, matching.errnoRet);
}

function holds({ op, value, valueTwo }: LinuxSeccompArg, actual: bigint): boolean {
  const given = BigInt(value);
  switch (op) {
    case "SCMP_CMP_NE":
      return actual !== given;
    case "SCMP_CMP_LT":
      return actual < given;
    case "SCMP_CMP_LE":
      return actual <= given;
    case "SCMP_CMP_EQ":
      return actual === given;
    case "SCMP_CMP_GE":
      return actual >= given;
    case "SCMP_CMP_GT":
      return actual > given;
    case "SCMP_CMP_MASKED_EQ":
      return (actual & given) === BigInt(valueTwo ?? 0);
  }
}

const numberOf = (name: string) => conventions("x86_64", [])[0]?.table.numbers.get(name) ?? -1;
const callX86 = (name: string, ...args: bigint[]): Call => ({
  audit: AUDIT_ARCH_X86_64,
  number: numberOf(name),
  args,
});

const names = fc.constantFrom(
  "read",
  "write",
  "clone",
  "socket",
  "personality",
  "openat",
  "futex",
  "mmap",
  "no_such_call",
  "send",
  "cachestat",
  "getpid",
);
const wide = fc.oneof(
  fc.constantFrom(0n, 1n, 40n, 0x7e02_0000n, 0xffff_ffffn, 0x1_0000_0000n, 0x1_0000_0001n, (1n << 64n) - 1n),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
);
const ruleArg = fc.record({
  index: fc.integer({ min: 0, max: 5 }),
  value: wide,
  valueTwo: wide,
  op: fc.constantFrom<LinuxSeccompArg["op"]>(
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
  ),
});
const action = fc.constantFrom<SeccompAction>(
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL",
  "SCMP_ACT_LOG",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_NOTIFY",
);
/** An errno for the two actions that have one. */
const errnoFor = (of: SeccompAction): fc.Arbitrary<number | undefined> =>
  of === "SCMP_ACT_ERRNO" || of === "SCMP_ACT_TRACE"
    ? fc.option(fc.integer({ min: 0, max: 4095 }), { nil: undefined })
    : fc.constant(undefined);
const FLAGS = [
  "SECCOMP_FILTER_FLAG_TSYNC",
  "SECCOMP_FILTER_FLAG_LOG",
  "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
] as const;
const rule: fc.Arbitrary<LinuxSyscall> = action.chain((action) =>
  fc.record({
    names: fc.array(names, { minLength: 1, maxLength: 5 }),
    action: fc.constant(action),
    errnoRet: errnoFor(action),
    args: fc.array(ruleArg, { maxLength: 3 }),
  }),
) as fc.Arbitrary<LinuxSyscall>;
const spec = action.chain((defaultAction) =>
  fc.record({
    defaultAction: fc.constant(defaultAction),
    defaultErrnoRet: errnoFor(defaultAction),
    architectures: fc.subarray(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"]),
    flags: fc.subarray([...FLAGS]),
    syscalls: fc.array(rule, { maxLength: 12 }),
  }),
) as fc.Arbitrary<LinuxSeccomp>;
/** Calls whose carriers another test covers are left out: the reference knows a call by its own number only. */
const CARRIERS = [102, 117];
const call: fc.Arbitrary<Call> = fc
  .record({
    audit: fc.constantFrom(AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0x4000_0028),
    number: fc.oneof(
      fc.integer({ min: 0, max: 480 }),
      fc.integer({ min: X32_BIT, max: X32_BIT + 560 }),
      fc.constantFrom(0, 1, 41, 56, 135, 202, 257, 0xffff_ffff, X32_BIT - 1, X32_BIT),
    ),
    args: fc.array(wide, { minLength: 6, maxLength: 6 }),
  })
  .filter(({ audit, number }) => audit !== AUDIT_ARCH_I386 || !CARRIERS.includes(number));

describe("compileSeccomp()", () => {
  test.each(["x86_64", "aarch64"] as const)("does on %s for any call what its rules say", (machine) => {
    fc.assert(
      fc.property(spec, fc.array(call, { minLength: 10, maxLength: 30 }), (seccomp, calls) => {
        const { program } = compileSeccomp(seccomp, machine);
        for (const one of calls) {
          expect([one, run(program, one)]).toEqual([one, evaluate(seccomp, machine, one)]);
        }
      }),
      { numRuns: 400 },
    );
  });

  test("agrees with the rules at both sides of a compared value", () => {
    fc.assert(
      fc.property(ruleArg, (arg) => {
        const seccomp: LinuxSeccomp = {
          defaultAction: "SCMP_ACT_ERRNO",
          syscalls: [{ names: ["read"], action: "SCMP_ACT_ALLOW", args: [arg] }],
        };
        const { program } = compileSeccomp(seccomp, "x86_64");
        const around = [-(1n << 32n), -1n, 0n, 1n, 1n << 32n].map((d) =>
          BigInt.asUintN(64, BigInt(arg.value) + d),
        );
        for (const value of [...around, arg.valueTwo, BigInt(arg.valueTwo) | ~BigInt(arg.value)]) {
          const args = Array<bigint>(6).fill(BigInt.asUintN(64, value));
          const one = callX86("read", ...args);
          expect(run(program, one)).toBe(evaluate(seccomp, "x86_64", one));
        }
      }),
    );
  });

  test("keeps jumps right in programs of thousands of instructions", () => {
    const table = conventions("x86_64", [])[0]?.table.numbers ?? new Map<string, number>();
    const every = [...table.keys()].filter((_, at) => at % 2 === 0);
    const seccomp: LinuxSeccomp = {
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
      syscalls: every.map((name, at) => ({
        names: [name],
        action: at % 3 === 0 ? "SCMP_ACT_LOG" : "SCMP_ACT_ALLOW",
        args: at % 2 === 0 ? [{ index: at % 6, value: at * 0x1_0000_0001, op: "SCMP_CMP_GE" }] : [],
      })),
    };
    const { program } = compileSeccomp(seccomp, "x86_64");
    expect(program.length / 8).toBeGreaterThan(1000);
    for (const audit of [AUDIT_ARCH_X86_64, AUDIT_ARCH_I386]) {
      for (let number = 0; number < 480; number++) {
        if (audit === AUDIT_ARCH_I386 && CARRIERS.includes(number)) continue;
        for (const base of [0, X32_BIT]) {
          for (const arg of [0n, 0x4c_0000_004cn, (1n << 64n) - 1n]) {
            const one: Call = { audit, number: base + number, args: Array<bigint>(6).fill(arg) };
            expect([one, run(program, one)]).toEqual([one, evaluate(seccomp, "x86_64", one)]);
          }
        }
      }
    }
  });

  test("refuses a filter that the kernel would not take for its length", () => {
    const args = (value: number): LinuxSeccompArg[] => [{ index: 0, value, op: "SCMP_CMP_EQ" }];
    const syscalls = Array.from(
      { length: 1100 },
      (_, at): LinuxSyscall => ({ names: ["read"], action: "SCMP_ACT_ALLOW", args: args(at) }),
    );
    expect(() => compileSeccomp({ defaultAction: "SCMP_ACT_ERRNO", syscalls }, "x86_64")).toThrow(
      /more than 4096 instructions/,
    );
  });

  test("covers calls that i386 carries in socketcall and ipc", () => {
    const { program } = compileSeccomp(
      {
        defaultAction: "SCMP_ACT_ALLOW",
        architectures: ["SCMP_ARCH_X86"],
        syscalls: [{ names: ["socket", "shmget"], action: "SCMP_ACT_ERRNO", errnoRet: 13 }],
      },
      "x86_64",
    );
    const i386 = (number: number, arg: bigint) =>
      run(program, { audit: AUDIT_ARCH_I386, number, args: [arg] });
    expect(i386(102, 1n)).toBe(errno(13));
    expect(i386(102, 2n)).toBe(ALLOW);
    expect(i386(117, 0x1_0017n)).toBe(errno(13));
    expect(i386(117, 0x1_0015n)).toBe(ALLOW);
  });

  test("answers calls that have no name yet with ENOSYS when the default is an error", () => {
    const { program } = compileSeccomp({ defaultAction: "SCMP_ACT_ERRNO" }, "x86_64");
    expect(run(program, { audit: AUDIT_ARCH_X86_64, number: 500, args: [] })).toBe(errno(38));
    expect(run(program, callX86("mount"))).toBe(errno(1));
  });

  test("keeps the program of a container manager's default profile short", () => {
    const { program, flags, notifies } = compileSeccomp(defaultProfile(), "x86_64");
    expect(program.length / 8).toBeLessThan(600);
    expect({ flags, notifies }).toEqual({ flags: 0, notifies: false });
    expect(run(program, callX86("read"))).toBe(ALLOW);
    expect(run(program, callX86("mount"))).toBe(errno(1));
    expect(run(program, callX86("clone", 0x1200011n))).toBe(ALLOW);
    expect(run(program, callX86("clone", 0x1000_0011n))).toBe(errno(1));
    expect(run(program, callX86("clone3"))).toBe(errno(38));
    expect(run(program, callX86("personality", 0xffff_ffffn))).toBe(ALLOW);
    expect(run(program, callX86("personality", 0x4_0000n))).toBe(errno(1));
    expect(run(program, callX86("socket", 40n))).toBe(errno(1));
    expect(run(program, callX86("socket", 1n))).toBe(ALLOW);
  });

  const refused: [why: string, seccomp: LinuxSeccomp, message: RegExp][] = [
    [
      "an errno without an error",
      { defaultAction: "SCMP_ACT_ALLOW", defaultErrnoRet: 1 },
      /only SCMP_ACT_ERRNO/,
    ],
    [
      "an errno above the kernel's",
      { defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 4096 },
      /at most 4095/,
    ],
    [
      "an unknown flag",
      { defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_X"] },
      /flag SECCOMP_FILTER_FLAG_X/,
    ],
    [
      "an unknown architecture",
      { defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_Z80"] },
      /SCMP_ARCH_Z80/,
    ],
    [
      "a rule without names",
      { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: [], action: "SCMP_ACT_LOG" }] },
      /at least one/,
    ],
    [
      "a seventh argument",
      {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [
          { names: ["read"], action: "SCMP_ACT_LOG", args: [{ index: 6, value: 0, op: "SCMP_CMP_EQ" }] },
        ],
      },
      /arguments 0 to 5/,
    ],
    ["metadata for no listener", { defaultAction: "SCMP_ACT_ALLOW", listenerMetadata: "x" }, /listenerPath/],
    [
      "a killable wait without a listener",
      { defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] },
      /SCMP_ACT_NOTIFY/,
    ],
  ];
  test.each(refused)("refuses %s", (_, seccomp, message) => {
    expect(() => compileSeccomp(seccomp, "x86_64")).toThrow(message);
  });

  test("asks for a listener when an action notifies", () => {
    const seccomp: LinuxSeccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      flags: ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
      syscalls: [{ names: ["mount"], action: "SCMP_ACT_NOTIFY" }],
    };
    const { flags, notifies, program } = compileSeccomp(seccomp, "x86_64");
    expect({ flags, notifies }).toEqual({ flags: 0x1 | 0x2 | 0x4 | 0x8 | 0x10, notifies: true });
    expect(run(program, callX86("mount"))).toBe(0x7fc0_0000);
  });
});

const HEADER = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
test.skipIf(!existsSync(HEADER))("the table of x86_64 says what the kernel's header says", () => {
  const table = conventions("x86_64", [])[0]?.table.numbers;
  for (const [, name, number] of readFileSync(HEADER, "utf8").matchAll(/^#define __NR_(\w+) (\d+)$/gm)) {
    expect([name, table?.get(name ?? "")]).toEqual([name, Number(number)]);
  }
});

/** In the manner of what containerd writes for an unprivileged container: some 300 names, a few with arguments. */
function defaultProfile(): LinuxSeccomp {
  const denied =
    /^(mount|umount2?|pivot_root|reboot|swapo|init_module|finit_module|delete_module|kexec|bpf|perf_event|setns|unshare|open_by_handle|acct|settimeofday|clock_settime|clock_adjtime|adjtimex|iop[el]|ioperm|quotactl|lookup_dcookie|fs|open_tree|move_mount|clone|personality|socket$|nfsservctl|vm86|userfaultfd|keyctl|add_key|request_key|syslog|vhangup|kcmp|process_vm|get_mempolicy|set_mempolicy|mbind|move_pages|migrate_pages|create_module|query_module|_sysctl|uselib|ustat|sysfs|sethostname|setdomainname|statmount|listmount|lsm_)/;
  const table = conventions("x86_64", [])[0]?.table.numbers ?? new Map<string, number>();
  const allowed = [...table.keys()].filter((name) => !denied.test(name));
  const personality = (value: number): LinuxSyscall => ({
    names: ["personality"],
    action: "SCMP_ACT_ALLOW",
    args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
  });
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    syscalls: [
      { names: allowed, action: "SCMP_ACT_ALLOW" },
      { names: ["socket"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 40, op: "SCMP_CMP_NE" }] },
      ...[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff].map(personality),
      {
        names: ["clone"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value: 0x7e02_0000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      },
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
    ],
  };
}
