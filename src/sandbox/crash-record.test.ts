import { expect, test } from "vitest";
import { type CrashRecord, EMPTY_RECORD, parseCrashRecord } from "./crash-record.ts";
import { parseStartTime } from "./process-identity.ts";

const RECORD: CrashRecord = {
  version: 1,
  processes: [{ name: "QEMU", pid: 4711, startTime: 99 }],
  networkNamespace: "/run/netns/a",
  networkSteps: [
    { kind: "ingress", link: 2 },
    { kind: "egress-limit", link: 3 },
    { kind: "made-link", name: "ifb0_kata" },
    { kind: "configuration", link: 2, macAddress: "02:00:00:00:00:01", addresses: ["0a00"], routes: [] },
    { kind: "driver", pciAddress: "0000:01:00.0", driver: "ixgbevf" },
  ],
  cgroups: ["/sys/fs/cgroup/pids/kata_overhead/x"],
  remote: { socket: "/run/peerpod/hypervisor.sock", timeoutMs: 600_000 },
};

test("parseCrashRecord() reads what was written", () => {
  expect(parseCrashRecord(JSON.stringify(RECORD))).toEqual(RECORD);
});

test.each(["", "{", "null", "[]", '{"version":2}', '"text"'])(
  "parseCrashRecord() takes %j for no record",
  (text) => {
    expect(parseCrashRecord(text)).toBeUndefined();
  },
);

test("parseCrashRecord() leaves out everything that could harm somebody else", () => {
  const text = JSON.stringify({
    version: 1,
    processes: [
      { name: "init", pid: 1, startTime: 1 },
      { name: "x", pid: -5, startTime: 1 },
      { pid: 7 },
      null,
    ],
    networkNamespace: "relative/path",
    networkSteps: [
      { kind: "ingress", link: 0 },
      { kind: "egress-limit", link: "2" },
      { kind: "made-link", name: "eth0" },
      { kind: "configuration", link: 2, macAddress: "x", addresses: [], routes: [] },
      { kind: "configuration", link: 2, macAddress: "02:00:00:00:00:01", addresses: ["0"], routes: [] },
      { kind: "driver", pciAddress: "../x", driver: "d" },
      { kind: "driver", pciAddress: "0000:01:00.0", driver: "a/b" },
      { kind: "other" },
      null,
    ],
    cgroups: ["/etc", "/sys/fs/cgroup/../../etc", "/sys/fs/cgroup/a\0b"],
    remote: { socket: "relative", timeoutMs: 1 },
  });
  expect(parseCrashRecord(text)).toEqual(EMPTY_RECORD);
});

test("parseStartTime() is not led astray by a program's name", () => {
  const rest = Array.from({ length: 49 }, (_, index) => String(index + 4)).join(" ");
  expect(parseStartTime(`7 (a) b (c d) S ${rest}`)).toBe(22);
  expect(parseStartTime("7 (x")).toBeUndefined();
});
