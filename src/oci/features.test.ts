import { expect, test } from "vitest";
import { runtimeFeatures } from "./features.ts";

const FACTS = {
  architecture: "x86_64",
  ociVersion: "1.2.0",
  version: "0.1.0",
  hooks: ["startContainer"],
  commit: "c0ffee",
} as const;

test("features name the hooks and seccomp actions that work, and none that is refused", () => {
  const { linux, hooks, mountOptions, ociVersionMin, ociVersionMax } = runtimeFeatures({
    ...FACTS,
    seccomp: true,
  });
  expect({ ociVersionMin, ociVersionMax, hooks }).toEqual({
    ociVersionMin: "1.0.0",
    ociVersionMax: "1.2.0",
    hooks: ["startContainer"],
  });
  expect(mountOptions).toEqual(expect.arrayContaining(["rbind", "ro", "rro", "rprivate"]));
  expect(linux.namespaces).toEqual(["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]);
  expect(linux.capabilities).toContain("CAP_SYS_ADMIN");
  expect(linux.seccomp).toMatchObject({
    enabled: true,
    archs: ["SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
  });
  expect(JSON.stringify(linux.seccomp)).not.toContain("NOTIFY");
});

test("features say that no system calls are filtered where the configuration says so", () => {
  expect(runtimeFeatures({ ...FACTS, seccomp: false }).linux.seccomp).toEqual({ enabled: false });
});
