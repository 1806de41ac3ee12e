import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import {
  MAX_SPEC_LENGTH,
  parseLinuxResources,
  parseProcess,
  parseSpec,
  parseSpecJson,
  stringifySpec,
} from "./parse-spec.ts";

/** The specification's own files, if they are beside the project. */
const CASES = join(import.meta.dirname, "../../../shared/schemas/oci-runtime-spec/test/config");
/** Files about sections of another platform, which a Linux runtime has no eye for. */
const OTHER_PLATFORMS = ["freebsd-vnet-disable.json"];

function files(kind: string): string[] {
  const directory = join(CASES, kind);
  return existsSync(directory) ? readdirSync(directory) : [];
}

describe.skipIf(!existsSync(CASES))("the specification's files", () => {
  const read = (kind: string, file: string) =>
    parseSpec(parseSpecJson(readFileSync(join(CASES, kind, file), "utf8"), file));

  test.each(files("good"))("are read: %s", (file) => {
    expect(read("good", file)).toHaveProperty("ociVersion");
  });

  test.each(files("bad").filter((file) => !OTHER_PLATFORMS.includes(file)))("are refused: %s", (file) => {
    expect(() => read("bad", file)).toThrow(KataError);
  });

  test("keep every field that the long example has", () => {
    if (!files("good").includes("spec-example.json")) return;
    const text = readFileSync(join(CASES, "good", "spec-example.json"), "utf8");
    const source = JSON.parse(text);
    // Written by an older version of the specification, which had this field here.
    delete source.linux.resources.oomScoreAdj;
    expect(JSON.parse(stringifySpec(parseSpec(parseSpecJson(text, "x"))))).toEqual(source);
  });
});

const minimal = { ociVersion: "1.2.0", root: { path: "rootfs" }, process: { cwd: "/", args: ["sh"] } };

describe("parseSpec()", () => {
  test("fills in the user that a writer leaves to its language's zero", () => {
    expect(parseSpec(minimal).process?.user).toEqual({ uid: 0, gid: 0 });
  });

  test("drops what it does not know and takes null for absent", () => {
    const json = { ...minimal, zos: {}, hooks: null, linux: { resources: null, devices: null, extra: 1 } };
    expect(parseSpec(json)).toEqual({
      ...minimal,
      process: { ...minimal.process, user: { uid: 0, gid: 0 } },
      linux: {},
    });
  });

  test("keeps annotations with names of the language's own", () => {
    const json: unknown = JSON.parse('{"ociVersion":"1","annotations":{"__proto__":"a","constructor":"b"}}');
    expect(Object.entries(parseSpec(json).annotations ?? {})).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
    ]);
  });

  test.each<[string, unknown, string]>([
    [
      "a number for a list",
      { ...minimal, process: { cwd: "/", args: 1 } },
      "process.args: expected a list of strings, got number 1",
    ],
    [
      "a number in a list",
      { ...minimal, process: { cwd: "/", args: ["a", 2] } },
      "process.args[1]: expected a string, got number 2",
    ],
    ["no version", {}, "ociVersion: it is required"],
    ["no working directory", { ociVersion: "1", process: {} }, "process.cwd: it is required"],
    ["a list for the document", [], "document: expected an object, got a list"],
    [
      "a negative id",
      { ...minimal, process: { cwd: "/", user: { uid: -1 } } },
      "process.user.uid: expected an integer from 0 to 4294967295, got number -1",
    ],
    [
      "a NUL in a path",
      { ociVersion: "1", root: { path: "a\0" } },
      'root.path: expected a string without NUL, got string "a\\u0000"',
    ],
    [
      "an unknown namespace",
      { ociVersion: "1", linux: { namespaces: [{ type: "net" }] } },
      "linux.namespaces[0].type: expected one of mount, pid, network, uts, ipc, user, cgroup, time",
    ],
    [
      "a page size of another spelling",
      { ociVersion: "1", linux: { resources: { hugepageLimits: [{ pageSize: "64kB", limit: 1 }] } } },
      "hugepageLimits[0].pageSize: expected a size such as 2MB",
    ],
    [
      "a fraction",
      { ociVersion: "1", linux: { resources: { memory: { limit: 1.5 } } } },
      "linux.resources.memory.limit: expected an integer from -9223372036854775808 to 9223372036854775807, got a number with a fraction",
    ],
    [
      "a sysctl that is a number",
      { ociVersion: "1", linux: { sysctl: { "net.x": 1 } } },
      'linux.sysctl["net.x"]: expected a string, got number 1',
    ],
    [
      "a rule without names",
      {
        ociVersion: "1",
        linux: {
          seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: [], action: "SCMP_ACT_LOG" }] },
        },
      },
      "syscalls[0].names: expected 1 to 65536 system call names, got 0",
    ],
  ])("refuses %s and says where", (_, json, message) => {
    expect(() => parseSpec(json)).toThrow(message);
  });

  test("throws nothing but its own error, whatever it is given", () => {
    fc.assert(
      fc.property(
        fc.object({
          key: fc.constantFrom("ociVersion", "process", "linux", "resources", "mounts", "x"),
          maxDepth: 5,
        }),
        (json) => {
          try {
            parseSpec(json);
          } catch (error) {
            expect(error).toBeInstanceOf(KataError);
          }
        },
      ),
    );
  });
});

describe("parseSpecJson()", () => {
  test("keeps all digits of 64-bit integers", () => {
    const text =
      '{"cwd":"/","rlimits":[{"type":"RLIMIT_NOFILE","soft":9007199254740993,"hard":18446744073709551615}],"args":["12345678901234567890"]}';
    const process = parseProcess(parseSpecJson(text, "x"));
    expect(process.rlimits).toEqual([
      { type: "RLIMIT_NOFILE", soft: 9_007_199_254_740_993n, hard: (1n << 64n) - 1n },
    ]);
    expect(process.args).toEqual(["12345678901234567890"]);
  });

  test("does not let a string pass for an integer, nor an integer for a string", () => {
    expect(() => parseProcess(parseSpecJson('{"cwd":12345678901234567890}', "x"))).toThrow(
      "cwd: expected a string, got number 12345678901234567890",
    );
    expect(() => parseLinuxResources({ pids: { limit: "5" } })).toThrow("pids.limit: expected an integer");
  });

  test("is undone by stringifySpec()", () => {
    const text = '{"a":[1,18446744073709551615,-9223372036854775808],"b":"\\"18446744073709551615\\""}';
    expect(stringifySpec({ a: [1, (1n << 64n) - 1n, -(1n << 63n)], b: '"18446744073709551615"' })).toBe(text);
  });

  test("steps over escaped quotes", () => {
    const json = parseSpecJson('{"a":"\\"1111111111111111111","b":1111111111111111111}', "x");
    expect(json).toEqual({ a: '"1111111111111111111', b: "\0integer 1111111111111111111" });
  });

  test("refuses integers beyond 64 bits, and takes the largest as other parsers round it", () => {
    const read = (limit: unknown) =>
      parseLinuxResources({ hugepageLimits: [{ pageSize: "2MB", limit }] }).hugepageLimits?.[0]?.limit;
    expect(read(2 ** 64)).toBe((1n << 64n) - 1n);
    expect(() => read(2 ** 65)).toThrow(/expected an integer/);
    expect(() => read((1n << 64n) + 1n)).toThrow(/expected an integer/);
    expect(() => read(-1)).toThrow(/expected an integer/);
  });

  test("refuses text that is no JSON, or too long", () => {
    expect(() => parseSpecJson("{]", "/b/config.json")).toThrow(/read spec: \/b\/config\.json \(/);
    expect(() => parseSpecJson(" ".repeat(MAX_SPEC_LENGTH + 1), "/b/config.json")).toThrow(/at most/);
  });
});
