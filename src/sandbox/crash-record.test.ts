import { expect, test } from "vitest";
import { type CrashRecord, EMPTY_RECORD, parseCrashRecord } from "./crash-record.ts";
import { parseStartTime } from "./process-identity.ts";

const RECORD: CrashRecord = {
  version: 1,
  processes: [{ name: "QEMU", pid: 4711, startTime: 99 }],
  networkNamespace: "/run/netns/a",
  redirectedLinks: ["eth0"],
  taps: ["tap0_kata"],
  cgroups: ["/sys/fs/cgroup/pids/kata_overhead/x"],
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
    redirectedLinks: ["a/b", "", "x".repeat(16), 5],
    taps: "tap0",
    cgroups: ["/etc", "/sys/fs/cgroup/../../etc", "/sys/fs/cgroup/a\0b"],
  });
  expect(parseCrashRecord(text)).toEqual(EMPTY_RECORD);
});

test("parseStartTime() is not led astray by a program's name", () => {
  const rest = Array.from({ length: 49 }, (_, index) => String(index + 4)).join(" ");
  expect(parseStartTime(`7 (a) b (c d) S ${rest}`)).toBe(22);
  expect(parseStartTime("7 (x")).toBeUndefined();
});
