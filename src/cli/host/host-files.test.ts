import { describe, expect, test } from "vitest";
import { installCommand } from "../check/install-command.ts";
import { parseCpuInfo, virtualizationFlag } from "./cpu-info.ts";
import { kernelFormat } from "./kernel-format.ts";
import { parseCgroupLayout, parseFilesystems, parseMemoryInfo, parseOsRelease } from "./system-files.ts";

describe("parseCpuInfo()", () => {
  test("reads an Intel machine", () => {
    const cpu = (number: number) =>
      `processor\t: ${number}\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) CPU @ 2.80GHz\nflags\t\t: fpu vmx lm\n`;
    const info = parseCpuInfo(`${cpu(0)}\n${cpu(1)}\n`);
    expect(info).toEqual({
      vendor: "GenuineIntel",
      model: "Intel(R) Xeon(R) CPU @ 2.80GHz",
      count: 2,
      flags: new Set(["fpu", "vmx", "lm"]),
    });
    expect(virtualizationFlag(info)).toBe("vmx");
  });

  test("reads an AMD machine's svm, and nothing of one without", () => {
    expect(virtualizationFlag(parseCpuInfo("flags : fpu svm\n"))).toBe("svm");
    expect(virtualizationFlag(parseCpuInfo("flags : fpu svmx vmxy\n"))).toBeUndefined();
  });

  test("reads an Arm machine", () => {
    const text = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
    expect(parseCpuInfo(text)).toEqual({
      vendor: "0x41",
      model: "0xd0c",
      count: 1,
      flags: new Set(["fp", "asimd"]),
    });
  });

  test("knows nothing of an empty file", () => {
    expect(parseCpuInfo("")).toEqual({ vendor: "", model: "", count: 0, flags: new Set() });
  });
});

describe("parseOsRelease()", () => {
  test.each([
    [
      'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
      { id: "debian", like: [], name: "Debian GNU/Linux", version: "12" },
    ],
    [
      `NAME='Common Base Linux Mariner'\nVERSION_ID="2.0"\nID=mariner\nID_LIKE="a b"\n# comment\n`,
      { id: "mariner", like: ["a", "b"], name: "Common Base Linux Mariner", version: "2.0" },
    ],
    ['NAME="A \\"b\\" \\$c"\n', { id: "linux", like: [], name: 'A "b" $c', version: "" }],
    ["", { id: "linux", like: [], name: "Linux", version: "" }],
  ])("reads %j", (text, expected) => {
    expect(parseOsRelease(text)).toEqual(expected);
  });
});

test("parseMemoryInfo() reads KiB", () => {
  const text =
    "MemTotal:       15858032 kB\nMemFree:        10365404 kB\nMemAvailable:   12566468 kB\nSwapFree: 1 kB\n";
  expect(parseMemoryInfo(text)).toEqual({ total: 15858032, free: 10365404, available: 12566468 });
  expect(parseMemoryInfo("")).toEqual({ total: 0, free: 0, available: 0 });
});

test("parseFilesystems() reads names with and without a device", () => {
  expect(parseFilesystems("nodev\tsysfs\n\text4\nnodev\toverlay\n")).toEqual(
    new Set(["sysfs", "ext4", "overlay"]),
  );
});

describe("parseCgroupLayout()", () => {
  const legacy =
    "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\n";
  const beside = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
  test.each([
    ["version 2", "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n", "cpu memory pids\n", "unified"],
    ["version 1", legacy, "", "legacy"],
    ["both", `${legacy}${beside}`, "", "hybrid"],
    ["nothing", "tmpfs /sys/fs/cgroup tmpfs rw 0 0\nproc /proc proc rw 0 0\n", "", "none"],
    ["a mount elsewhere", "cgroup2 /mnt cgroup2 rw 0 0\n", "cpu\n", "none"],
  ])("recognises %s", (_what, mounts, controllers, mode) => {
    const layout = parseCgroupLayout(mounts, controllers);
    expect(layout.mode).toBe(mode);
    expect(layout.controllers.has("cpu")).toBe(mode !== "none");
    expect(layout.controllers.has("hugetlb")).toBe(false);
  });
});

describe("kernelFormat()", () => {
  const withBytes = (at: number, ...bytes: number[]) => {
    const head = new Uint8Array(0x206);
    head.set(bytes, at);
    return head;
  };
  test.each([
    ["ELF", withBytes(0, 0x7f, 0x45, 0x4c, 0x46)],
    ["bzImage", withBytes(0x202, 0x48, 0x64, 0x72, 0x53)],
    ["arm64 Image", withBytes(56, 0x41, 0x52, 0x4d, 0x64)],
    ["unknown", new TextEncoder().encode("this is no kernel\n")],
    ["unknown", new Uint8Array(0)],
  ])("recognises %s", (format, head) => {
    expect(kernelFormat(head)).toBe(format);
  });
});

test.each([
  ["virtiofsd", { id: "debian", version: "12" }, "apt-get install qemu-system-common"],
  ["virtiofsd", { id: "debian", version: "13" }, "apt-get install virtiofsd"],
  ["virtiofsd", { id: "ubuntu", version: "24.04" }, "apt-get install virtiofsd"],
  ["qemu-system-x86_64", { id: "mint", like: ["ubuntu"] }, "apt-get install qemu-system-x86"],
  ["qemu-system-x86_64", { id: "rocky", like: ["rhel", "fedora"] }, "dnf install qemu-kvm"],
  ["containerd", { id: "opensuse-leap", like: ["suse"] }, "zypper install containerd"],
  ["containerd", { id: "plan9" }, "install containerd with this system's package manager"],
])("installCommand(%s) on %j", (program, distribution, command) => {
  expect(installCommand(program, { like: [], name: "", version: "", ...distribution })).toBe(command);
});
