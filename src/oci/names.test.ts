import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { describe, expect, test } from "vitest";
import {
  CAPABILITY_NAMES,
  capabilityMask,
  capabilityNumber,
  splitCapabilityMask,
  unknownCapabilities,
} from "./capabilities.ts";
import { cgroupDirectory, parseCgroupsPath } from "./cgroups-path.ts";
import { NAMESPACES } from "./namespaces.ts";
import { rlimitNumber } from "./rlimits.ts";
import { signalName, signalNumber } from "./signals.ts";

/** Values of `NAME` in a C header of the machine. */
function headerValues(path: string, pattern: RegExp): [string, number][] {
  return [...readFileSync(path, "utf8").matchAll(pattern)].map(([, name = "", value]) => [
    name,
    Number(value),
  ]);
}

test("capabilities have the numbers of the kernel's header", () => {
  const values = headerValues("/usr/include/linux/capability.h", /^#define (CAP_[A-Z_]+)\s+(\d+)$/gm);
  expect(values.length).toBe(CAPABILITY_NAMES.length);
  for (const [name, number] of values) expect([name, capabilityNumber(name)]).toEqual([name, number]);
});

test("capabilityMask() passes unknown names over, and unknownCapabilities() tells them", () => {
  const names = ["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE", "CAP_FLY", "chown"];
  expect(capabilityMask(names)).toBe(1n | (1n << 40n));
  expect(splitCapabilityMask(capabilityMask(names))).toEqual([1, 1 << 8]);
  expect(unknownCapabilities(names)).toEqual(["CAP_FLY", "chown"]);
});

test("resource limits have the numbers of the kernel's header", () => {
  const values = headerValues("/usr/include/asm-generic/resource.h", /^# define (RLIMIT_[A-Z]+)\s+(\d+)/gm);
  expect(values.length).toBeGreaterThan(4);
  for (const [name, number] of values) expect([name, rlimitNumber(name)]).toEqual([name, number]);
  expect(() => rlimitNumber("RLIMIT_LUCK")).toThrow(/one of RLIMIT_CPU/);
});

test("namespaces have the flags of the kernel's header", () => {
  const values = headerValues("/usr/include/linux/sched.h", /^#define (CLONE_NEW[A-Z]+)\s+(0x[0-9a-f]+)/gm);
  const names = {
    NEWNS: "mount",
    NEWPID: "pid",
    NEWNET: "network",
    NEWUTS: "uts",
    NEWIPC: "ipc",
    NEWUSER: "user",
    NEWCGROUP: "cgroup",
    NEWTIME: "time",
  } as const;
  const byName = new Map(values);
  for (const [suffix, type] of Object.entries(names)) {
    expect([type, NAMESPACES[type].flag]).toEqual([type, byName.get(`CLONE_${suffix}`)]);
  }
});

describe("signalNumber()", () => {
  test("knows every signal of the machine, and signalName() the way back", () => {
    for (const [name, number] of Object.entries(constants.signals)) {
      expect([name, signalNumber(name), signalNumber(name.slice(3).toLowerCase())]).toEqual([
        name,
        number,
        number,
      ]);
      expect(signalNumber(signalName(number))).toBe(number);
    }
  });

  test.each([
    ["15", 15],
    ["64", 64],
    ["RTMIN+3", 37],
    ["SIGRTMAX-1", 63],
    ["RTMIN-1", undefined],
    ["RTMAX+1", undefined],
    ["0", undefined],
    ["65", undefined],
    ["SIG", undefined],
    ["__proto__", undefined],
  ])("reads %s as %s", (text, number) => {
    expect(signalNumber(text)).toBe(number);
  });
});

describe("parseCgroupsPath()", () => {
  test.each([
    [undefined, "/fallback"],
    ["", "/fallback"],
    ["/default/web", "/default/web"],
    ["kubepods/./pod1//web", "/kubepods/pod1/web"],
    ["system.slice:docker:abc", "/system.slice/docker-abc.scope"],
    [
      "kubepods-burstable-pod1.slice:cri-containerd:abc",
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-abc.scope",
    ],
    [":libpod:abc", "/system.slice/libpod-abc.scope"],
    ["-.slice:x:abc", "/x-abc.scope"],
    ["a.slice::b.slice", "/a.slice/b.slice"],
  ])("places %j at %s", (text, directory) => {
    expect(cgroupDirectory(parseCgroupsPath(text), "/fallback")).toBe(directory);
  });

  test.each(["/../x", "a/../../x", "a-.slice:x:y", "-a.slice:x:y", "x:y:z", "a.slice:b:", "a\0b", "a\nb"])(
    "refuses %j",
    (text) => {
      expect(() => parseCgroupsPath(text)).toThrow(/read cgroupsPath/);
    },
  );
});
