import { expect, test } from "vitest";
import { constrainProcess, constrainSpec, type GuestConstraints } from "./constrain-spec.ts";
import type { Spec } from "./types.ts";

const strict: GuestConstraints = { seccomp: true, selinux: { kind: "drop" }, guestKernelOwnsVfio: true };

const hostSpec: Spec = {
  ociVersion: "1.2.0",
  root: { path: "rootfs" },
  process: {
    user: { uid: 0, gid: 0 },
    cwd: "/",
    args: ["sh"],
    selinuxLabel: "system_u:system_r:container_t:s0:c1,c2",
    apparmorProfile: "docker-default",
  },
  hooks: {
    prestart: [{ path: "/usr/bin/hook" }],
    poststop: [{ path: "/usr/bin/hook" }],
    startContainer: [{ path: "/in-container" }],
  },
  annotations: {
    a: "b",
    "io.katacontainers.config.agent.policy": "cGFja2FnZSBhZ2VudF9wb2xpY3k=",
    "io.katacontainers.config.hypervisor.cc_init_data": "H4sI",
  },
  linux: {
    namespaces: [
      { type: "pid" },
      { type: "network", path: "/run/netns/x" },
      { type: "ipc", path: "/proc/9/ns/ipc" },
      { type: "cgroup" },
      { type: "time" },
    ],
    devices: [
      { type: "c", path: "/dev/vfio/12" },
      { type: "c", path: "/dev/null", major: 1, minor: 3 },
    ],
    seccomp: { defaultAction: "SCMP_ACT_ALLOW" },
    mountLabel: "system_u:object_r:container_file_t:s0:c1,c2",
    netDevices: { eth9: {} },
    cgroupsPath: "/x",
    resources: {
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
      ],
      memory: { limit: 1000 },
      cpu: { shares: 100, quota: 5, period: 10, cpus: "4-7", mems: "1" },
      pids: { limit: 64 },
      blockIO: { weight: 100, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1 }] },
      hugepageLimits: [{ pageSize: "2MB", limit: 1 }],
      network: { classID: 1 },
      unified: { "memory.high": "1", "cpuset.cpus": "7", "io.max": "8:0 rbps=1" },
    },
  },
};

test("constrainSpec() leaves out what is the host's and keeps what limits the container", () => {
  const before = structuredClone(hostSpec);
  expect(constrainSpec(hostSpec, strict)).toEqual({
    ociVersion: "1.2.0",
    root: { path: "rootfs" },
    process: { user: { uid: 0, gid: 0 }, cwd: "/", args: ["sh"] },
    hooks: { startContainer: [{ path: "/in-container" }] },
    annotations: { a: "b" },
    linux: {
      namespaces: [{ type: "ipc" }],
      devices: [{ type: "c", path: "/dev/null", major: 1, minor: 3 }],
      seccomp: { defaultAction: "SCMP_ACT_ALLOW" },
      cgroupsPath: "/x",
      resources: {
        devices: [{ allow: false, access: "rwm" }],
        memory: { limit: 1000 },
        cpu: { shares: 100, quota: 5, period: 10 },
        pids: { limit: 64 },
        blockIO: { weight: 100 },
        hugepageLimits: [{ pageSize: "2MB", limit: 1 }],
        unified: { "memory.high": "1" },
      },
    },
  });
  expect(hostSpec).toEqual(before);
});

test("constrainSpec() gives labels the guest's type, and drops seccomp where the guest has none", () => {
  const { process, linux } = constrainSpec(hostSpec, {
    seccomp: false,
    selinux: { kind: "type", type: "kata_t" },
    guestKernelOwnsVfio: false,
  });
  expect(process?.selinuxLabel).toBe("system_u:system_r:kata_t:s0:c1,c2");
  expect(linux?.mountLabel).toBe(hostSpec.linux?.mountLabel);
  expect(linux?.seccomp).toBeUndefined();
  expect(linux?.devices).toHaveLength(2);
});

test("constrainSpec() adds nothing to a spec that has nothing", () => {
  expect(constrainSpec({ ociVersion: "1" }, strict)).toEqual({ ociVersion: "1" });
  const process = { user: { uid: 1, gid: 1 }, cwd: "/" };
  expect(constrainProcess(process, strict)).toEqual(process);
});
