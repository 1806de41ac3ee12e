import { describe, expect, test } from "vitest";
import { decodeSpec, encodeSpec } from "../../build/generated/oci.ts";
import type { Spec } from "./types.ts";
import {
  processFromMessage,
  processToMessage,
  resourcesFromMessage,
  resourcesToMessage,
  specFromMessage,
  specToMessage,
} from "./wire.ts";

/** Every field that the message carries. */
const full: Spec = {
  ociVersion: "1.2.0",
  root: { path: "/run/kata-containers/c1/rootfs", readonly: true },
  process: {
    terminal: true,
    consoleSize: { height: 24, width: 80 },
    user: { uid: 1000, gid: 0, additionalGids: [10, 20], username: "me" },
    args: ["sh", "-c", ""],
    env: ["PATH=/bin"],
    cwd: "/",
    capabilities: {
      bounding: ["CAP_CHOWN"],
      effective: ["CAP_CHOWN"],
      inheritable: ["CAP_KILL"],
      permitted: ["CAP_CHOWN"],
      ambient: ["CAP_KILL"],
    },
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 0, hard: (1n << 64n) - 1n }],
    noNewPrivileges: true,
    apparmorProfile: "profile",
    oomScoreAdj: -998,
    selinuxLabel: "u:r:t:s0",
  },
  mounts: [{ destination: "/proc", type: "proc", source: "proc", options: ["nosuid"] }],
  hostname: "web",
  hooks: { startContainer: [{ path: "/bin/x", args: ["x"], env: ["A=1"], timeout: 3 }] },
  annotations: { a: "b" },
  linux: {
    uidMappings: [{ containerID: 0, hostID: 1000, size: 65_536 }],
    gidMappings: [{ containerID: 1, hostID: 2, size: 3 }],
    sysctl: { "net.core.somaxconn": "1024" },
    resources: {
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 1, minor: 3, access: "r" },
      ],
      memory: {
        limit: 9_223_372_036_854_771_712n,
        reservation: 5,
        swap: -1,
        kernel: 6,
        kernelTCP: 7,
        swappiness: 60,
        disableOOMKiller: false,
      },
      cpu: {
        shares: 512,
        quota: -1,
        period: 100_000,
        realtimeRuntime: 1,
        realtimePeriod: 2,
        cpus: "0-1",
        mems: "0",
      },
      pids: { limit: 0 },
      blockIO: {
        weight: 500,
        leafWeight: 300,
        weightDevice: [{ major: 8, minor: 0, weight: 10, leafWeight: 20 }],
        throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1 }],
        throttleWriteBpsDevice: [{ major: 8, minor: 0, rate: 2 }],
        throttleReadIOPSDevice: [{ major: 8, minor: 0, rate: 3 }],
        throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 4 }],
      },
      hugepageLimits: [{ pageSize: "2MB", limit: 4 }],
      network: { classID: 1, priorities: [{ name: "eth0", priority: 2 }] },
    },
    cgroupsPath: "a.slice:b:c",
    namespaces: [{ type: "pid" }, { type: "ipc", path: "/proc/1/ns/ipc" }],
    devices: [{ path: "/dev/x", type: "c", major: 0, minor: 0, fileMode: 0o600, uid: 0, gid: 5 }],
    seccomp: {
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86_64"],
      flags: ["SECCOMP_FILTER_FLAG_LOG"],
      syscalls: [
        { names: ["read", "write"], action: "SCMP_ACT_ALLOW" },
        {
          names: ["clone3"],
          action: "SCMP_ACT_ERRNO",
          errnoRet: 0,
          args: [{ index: 0, value: (1n << 64n) - 1n, valueTwo: 7, op: "SCMP_CMP_MASKED_EQ" }],
        },
      ],
    },
    rootfsPropagation: "rslave",
    maskedPaths: ["/proc/kcore"],
    readonlyPaths: ["/proc/bus"],
    mountLabel: "u:o:f:s0",
    intelRdt: { l3CacheSchema: "L3:0=f" },
  },
};

describe("the wire", () => {
  test("carries every field there and back", () => {
    expect(specFromMessage(specToMessage(full))).toEqual(full);
  });

  test("has the message's names", () => {
    expect(specToMessage({ ...full, linux: { uidMappings: full.linux?.uidMappings ?? [] } })).toMatchObject({
      Version: "1.2.0",
      Root: { Path: "/run/kata-containers/c1/rootfs", Readonly: true },
      Process: {
        ConsoleSize: { Height: 24, Width: 80 },
        User: { UID: 1000, GID: 0, AdditionalGids: [10, 20], Username: "me" },
        NoNewPrivileges: true,
        OOMScoreAdj: -998,
        SelinuxLabel: "u:r:t:s0",
      },
      Mounts: [{ destination: "/proc", type: "proc", source: "proc", options: ["nosuid"] }],
      Linux: { UIDMappings: [{ HostID: 1000, ContainerID: 0, Size: 65_536 }] },
    });
    expect(resourcesToMessage(full.linux?.resources ?? {})).toMatchObject({
      Memory: { KernelTCP: 7, DisableOOMKiller: false },
      CPU: { RealtimeRuntime: 1 },
      BlockIO: { ThrottleReadIOPSDevice: [{ Major: 8, Minor: 0, Rate: 3 }] },
      HugepageLimits: [{ Pagesize: "2MB", Limit: 4 }],
      Network: { ClassID: 1 },
    });
  });

  test("takes what a decoder gives for absent fields as absent", () => {
    const message = {
      Terminal: false,
      User: { UID: 0, GID: 0, AdditionalGids: [], Username: "" },
      Args: ["sh"],
      Env: [],
      Cwd: "/",
      Rlimits: [],
      NoNewPrivileges: false,
      ApparmorProfile: "",
      OOMScoreAdj: 0n,
      SelinuxLabel: "",
    };
    expect(processFromMessage(message)).toEqual({ user: { uid: 0, gid: 0 }, args: ["sh"], cwd: "/" });
    expect(
      resourcesFromMessage({
        Devices: [{ Allow: false, Type: "", Major: 0, Minor: -1, Access: "" }],
        Memory: { Limit: 0n, Swap: 0, DisableOOMKiller: false },
        CPU: { Shares: 0, Quota: 0, Cpus: "" },
        Pids: { Limit: 100n },
      }),
    ).toEqual({
      devices: [{ allow: false }],
      memory: { disableOOMKiller: false },
      cpu: {},
      pids: { limit: 100 },
    });
  });

  test("carries a process by itself", () => {
    const { process } = full;
    if (process !== undefined) expect(processFromMessage(processToMessage(process))).toEqual(process);
  });

  test("leaves out what the message has no field for", () => {
    expect(
      processToMessage({ user: { uid: 1, gid: 2, umask: 18 }, cwd: "/", execCPUAffinity: { initial: "0" } }),
    ).toEqual({
      User: { UID: 1, GID: 2, Umask: 18 },
      Cwd: "/",
    });
  });

  test("carries in fields of its own what upstream's protocol lacks", () => {
    const spec: Spec = {
      ociVersion: "1.2.0",
      domainname: "example.org",
      process: {
        user: { uid: 0, gid: 0, umask: 0 },
        args: ["true"],
        cwd: "/",
        scheduler: { policy: "SCHED_BATCH", nice: -5, flags: ["SCHED_FLAG_RESET_ON_FORK"] },
        ioPriority: { class: "IOPRIO_CLASS_BE", priority: 3 },
      },
      mounts: [
        {
          destination: "/data",
          uidMappings: [{ containerID: 0, hostID: 1, size: 2 }],
          gidMappings: [{ containerID: 3, hostID: 4, size: 5 }],
        },
      ],
      linux: {
        personality: { domain: "LINUX32" },
        seccomp: { defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 0 },
        resources: {
          memory: { disableOOMKiller: false, checkBeforeUpdate: true },
          cpu: { burst: 0, idle: 1 },
          unified: { "memory.high": "1" },
        },
      },
    };
    // By way of the bytes, as the fields have to be in the .proto file as well.
    expect(specFromMessage(decodeSpec(encodeSpec(specToMessage(spec))))).toEqual(spec);
  });

  test.each([
    [{ Version: "1", Process: { Cwd: "/a\0b" } }, "process.cwd: expected a string without NUL"],
    [
      { Version: "1", Linux: { Namespaces: [{ Type: "net", Path: "" }] } },
      "linux.namespaces[0].type: expected one of",
    ],
    [
      { Version: "1", Linux: { Seccomp: { DefaultAction: "" } } },
      "linux.seccomp.defaultAction: expected one of",
    ],
  ])("refuses a message as it refuses a file", (message, error) => {
    expect(() => specFromMessage(message)).toThrow(error);
  });
});
