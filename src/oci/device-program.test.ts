import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileDeviceProgram } from "./device-program.ts";
import { containerDeviceRules, deviceWrites, MAX_DEVICE_RULES } from "./device-rules.ts";
import type { LinuxDeviceCgroup } from "./types.ts";

interface Access {
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
  /** Some of `rwm`. */
  readonly access: string;
}

/** An eBPF machine with the few instructions that a device program may have, written from the instruction set. */
function run(program: Uint8Array, { type, major, minor, access }: Access): number {
  const bits =
    (access.includes("m") ? 1 : 0) | (access.includes("r") ? 2 : 0) | (access.includes("w") ? 4 : 0);
  const context = new DataView(new ArrayBuffer(12));
  context.setUint32(0, (bits << 16) | (type === "b" ? 1 : 2), true);
  context.setUint32(4, major, true);
  context.setUint32(8, minor, true);
  const view = new DataView(program.buffer);
  const registers = Array<number>(11).fill(Number.NaN);
  for (let at = 0; at < program.length / 8; at++) {
    const code = view.getUint8(at * 8);
    const to = view.getUint8(at * 8 + 1) & 0xf;
    const from = view.getUint8(at * 8 + 1) >> 4;
    const offset = view.getInt16(at * 8 + 2, true);
    const constant = view.getInt32(at * 8 + 4, true);
    const read = (register: number): number => {
      const value = registers[register] ?? Number.NaN;
      if (Number.isNaN(value))
        throw new Error(`instruction ${at} reads register ${register}, which nobody has set`);
      return value;
    };
    if (code === 0x61) registers[to] = context.getUint32(offset, true);
    else if (code === 0xbc) registers[to] = read(from);
    else if (code === 0xb7) registers[to] = constant;
    else if (code === 0x54) registers[to] = read(to) & constant;
    else if (code === 0x74) registers[to] = read(to) >>> constant;
    else if (code === 0x15) at += read(to) === constant ? offset : 0;
    else if (code === 0x55) at += read(to) !== constant ? offset : 0;
    else if (code === 0x95) return read(0);
    else throw new Error(`instruction ${at} has code ${code}`);
  }
  throw new Error("ran past the end");
}

/** The last rule that matches decides, for each kind of access by itself. */
function evaluate(rules: readonly LinuxDeviceCgroup[], { type, major, minor, access }: Access): boolean {
  return [...access].every(
    (kind) =>
      rules.findLast(
        (rule) =>
          (rule.type === undefined || rule.type === "a" || rule.type === type) &&
          (rule.major === undefined || rule.major === major) &&
          (rule.minor === undefined || rule.minor === minor) &&
          (rule.access === undefined || rule.access.includes(kind)),
      )?.allow ?? false,
  );
}

const accesses = fc.subarray(["r", "w", "m"], { minLength: 1 }).map((kinds) => kinds.join(""));
const number = fc.constantFrom(0, 1, 5, 136, 0xfffff);
const rule: fc.Arbitrary<LinuxDeviceCgroup> = fc.record(
  {
    allow: fc.boolean(),
    type: fc.constantFrom("a", "b", "c"),
    major: number,
    minor: number,
    access: accesses,
  },
  { requiredKeys: ["allow"] },
);
const request: fc.Arbitrary<Access> = fc.record({
  type: fc.constantFrom("b", "c"),
  major: number,
  minor: number,
  access: accesses,
});

describe("compileDeviceProgram()", () => {
  test("does for any access what the rules say", () => {
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 12 }),
        fc.array(request, { minLength: 5, maxLength: 20 }),
        (rules, requests) => {
          const program = compileDeviceProgram(rules);
          for (const one of requests)
            expect([one, run(program, one)]).toEqual([one, evaluate(rules, one) ? 1 : 0]);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("ends with the rule that is for everything, as the kernel refuses what is never reached", () => {
    const program = compileDeviceProgram([{ allow: true, type: "c", major: 1 }, { allow: false }]);
    expect(program.length / 8).toBe(6 + 2);
  });

  test("refuses more rules than it keeps", () => {
    const rules = Array.from({ length: MAX_DEVICE_RULES + 1 }, () => ({ allow: true }));
    expect(() => compileDeviceProgram(rules)).toThrow(/513 device rules/);
  });
});

describe("containerDeviceRules()", () => {
  const rules = containerDeviceRules([], [{ type: "b", path: "/dev/vda", major: 254, minor: 0 }]);

  test.each<[string, Access, boolean]>([
    ["its own disk", { type: "b", major: 254, minor: 0, access: "rw" }, true],
    ["/dev/null", { type: "c", major: 1, minor: 3, access: "rw" }, true],
    ["a pseudo terminal", { type: "c", major: 136, minor: 7, access: "rw" }, true],
    ["making a node", { type: "b", major: 254, minor: 1, access: "m" }, true],
    ["another disk", { type: "b", major: 254, minor: 1, access: "r" }, false],
    ["/dev/mem", { type: "c", major: 1, minor: 1, access: "r" }, false],
  ])("decide on %s", (_, access, allowed) => {
    expect(run(compileDeviceProgram(rules), access)).toBe(allowed ? 1 : 0);
  });
});

describe("deviceWrites()", () => {
  const texts = (rules: LinuxDeviceCgroup[]) =>
    deviceWrites(rules).map(({ file, value }) => `${file} ${value}`);

  test("writes the rules in order", () => {
    expect(
      texts([
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
        { allow: true, type: "c", major: 136, access: "rw" },
        { allow: true, access: "m" },
        { allow: false, type: "c", major: 1, minor: 3, access: "w" },
      ]),
    ).toEqual([
      "devices.deny a",
      "devices.allow c 1:3 rwm",
      "devices.allow c 136:* rw",
      "devices.allow b *:* m",
      "devices.allow c *:* m",
      "devices.deny c 1:3 w",
    ]);
  });

  test("refuses an exception to an exception, which the kernel would drop in silence", () => {
    const allowed: LinuxDeviceCgroup = { allow: true, type: "c", access: "rwm" };
    const denied: LinuxDeviceCgroup = { allow: false, type: "c", major: 1, minor: 1 };
    expect(() => texts([{ allow: false }, allowed, denied])).toThrow(
      /deny c 1:1 rwm after c \*:\* rwm .*no exception within an exception/,
    );
    expect(texts([denied, allowed].slice(0, 1))).toEqual(["devices.deny c 1:1 rwm"]);
  });

  test.each<[string, LinuxDeviceCgroup, RegExp]>([
    ["a type", { allow: true, type: "x" }, /a, b or c/],
    ["an access", { allow: true, access: "rx" }, /r, w and m/],
    ["a number", { allow: true, type: "c", major: 2 ** 31 }, /at most/],
  ])("refuses %s that is none", (_, bad, message) => {
    expect(() => deviceWrites([bad])).toThrow(message);
  });
});
