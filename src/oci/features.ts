/**
 * What of the specification this runtime does, for engines that ask before they use it.
 * Source: OCI runtime specification, "Features Structure".
 */
import { CAPABILITY_NAMES } from "./capabilities.ts";
import { KNOWN_MOUNT_OPTIONS } from "./mount-options.ts";
import { NAMESPACES } from "./namespaces.ts";
import { SECCOMP_ACTIONS, SECCOMP_FLAGS } from "./seccomp/actions.ts";

export interface FeatureFacts {
  readonly architecture: "x86_64" | "aarch64";
  /** Whether the configuration lets the guest filter system calls. */
  readonly seccomp: boolean;
  /** Points of a container's life at which hooks are run. */
  readonly hooks: readonly string[];
  /** Newest specification that is followed. */
  readonly ociVersion: string;
  readonly version: string;
  readonly commit: string;
}

/** Dropped on the way to the guest: the host's clocks are not there. */
const NAMESPACES_LEFT_OUT = ["time"];

const OPERATORS = [
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_LE",
  "SCMP_CMP_LT",
  "SCMP_CMP_MASKED_EQ",
  "SCMP_CMP_NE",
];

const SECCOMP_ARCHITECTURES = {
  x86_64: ["SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
  aarch64: ["SCMP_ARCH_AARCH64"],
};

/** The listener of this one is a program of the host's. */
const REFUSED_ACTION = "SCMP_ACT_NOTIFY";

/** The features document. */
export function runtimeFeatures({ architecture, seccomp, hooks, ociVersion, version, commit }: FeatureFacts) {
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: ociVersion,
    hooks,
    mountOptions: KNOWN_MOUNT_OPTIONS,
    linux: {
      namespaces: Object.keys(NAMESPACES)
        .filter((name) => !NAMESPACES_LEFT_OUT.includes(name))
        .sort(),
      capabilities: CAPABILITY_NAMES,
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: false, rdma: false },
      seccomp: seccomp
        ? {
            enabled: true,
            actions: SECCOMP_ACTIONS.filter((action) => action !== REFUSED_ACTION).sort(),
            operators: OPERATORS,
            archs: SECCOMP_ARCHITECTURES[architecture],
            knownFlags: [...SECCOMP_FLAGS].sort(),
            supportedFlags: [...SECCOMP_FLAGS].sort(),
          }
        : { enabled: false },
      apparmor: { enabled: false },
      selinux: { enabled: false },
      intelRdt: { enabled: false },
      // virtio-fs of the guest's kernel has none.
      mountExtensions: { idmap: { enabled: false } },
      netDevices: { enabled: false },
    },
    annotations: {
      "io.katacontainers.version": version,
      "io.katacontainers.commit": commit,
    },
  };
}
