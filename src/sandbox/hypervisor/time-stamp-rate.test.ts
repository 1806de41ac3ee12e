import { expect, test } from "vitest";
import { readTimeStampRate } from "./time-stamp-rate.ts";

const VIRTUAL = "processor\t: 0\ncpu MHz\t\t: 2599.998\nflags\t\t: fpu vme tsc msr hypervisor\n";

test.each([
  ["of a virtual machine", VIRTUAL, false, 2_599_998],
  ["that the kernel measures anew", VIRTUAL.replace("msr", "aperfmperf"), false, undefined],
  ["that is under control", VIRTUAL, true, undefined],
  ["of a processor without the counter", VIRTUAL.replace("tsc ", ""), false, undefined],
  ["of another architecture", "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\n", false, undefined],
])("the rate %s", (_what, cpuInfo, changes, rate) => {
  expect(readTimeStampRate(cpuInfo, changes)).toBe(rate);
});
