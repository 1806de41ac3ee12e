/**
 * Judges what is known of a host: what runs containers in virtual machines, what is missing, and the command that gets it.
 *
 * A requirement of the host decides whether the system is capable; one of the set-up, whether it can do it now.
 */
import type { DriverName } from "../../config/index.ts";
import { type ClassicFinding, classicFindings } from "../host/classic-findings.ts";
import { virtualizationFlag } from "../host/cpu-info.ts";
import { type FileFact, type HostFacts, QEMU_PROGRAMS } from "../host/host-facts.ts";
import { nestingFix } from "../host/platform.ts";
import { checkFirecracker } from "./firecracker-check.ts";
import { installCommand } from "./install-command.ts";

export type Verdict = "ok" | "warning" | "failed";

export interface CheckResult {
  readonly name: string;
  readonly about: "host" | "setup";
  readonly verdict: Verdict;
  /** What was found. */
  readonly detail: string;
  /** What to do about it; absent if nothing has to be done. */
  readonly fix?: string;
}

export interface CheckReport {
  readonly results: readonly CheckResult[];
  /** The host has all that it takes. */
  readonly capable: boolean;
  /** It is also set up, and this user may do it. */
  readonly ready: boolean;
  /** What upstream's check, which knows KVM only, would find missing. They decide nothing. */
  readonly facts: readonly ClassicFinding[];
}

/** @param strict a warning counts as a failure. */
export function evaluate(facts: HostFacts, strict = false): CheckReport {
  const elsewhere = facts.configuration.configuration.driver === "remote";
  const checks = CHECKS.filter((check) => !elsewhere || !OF_LOCAL_MACHINES.has(check));
  const results = [...checks.map((check) => check(facts)), ...checkFirecracker(facts)];
  const holds = (about: CheckResult["about"]) =>
    !results.some(
      (result) =>
        result.about === about && (result.verdict === "failed" || (strict && result.verdict === "warning")),
    );
  return {
    results,
    capable: holds("host"),
    ready: holds("host") && holds("setup"),
    facts: classicFindings(facts.architecture, facts.cpu.vendor, facts.cpu.flags, facts.modules),
  };
}

/** Monitors that the shim of this version can start: those that `sandboxSettings` takes. */
export const DRIVEN: ReadonlySet<DriverName> = new Set<DriverName>(["qemu", "clh", "firecracker", "remote"]);

/** For what this user may not try. */
const AS_ROOT = "sudo kata-runtime check";

type Check = (facts: HostFacts) => CheckResult;

/** In the order in which they are shown. */
const CHECKS: readonly Check[] = [
  checkProcessor,
  checkAccelerator,
  checkTun,
  checkOverlay,
  checkCgroups,
  checkVsock,
  checkVhostNet,
  checkUser,
  checkConfiguration,
  checkHypervisor,
  checkFileServer,
  checkKernel,
  checkRoot,
  checkContainerd,
];

/** What machines that run on other hosts do not need here. */
const OF_LOCAL_MACHINES: ReadonlySet<Check> = new Set([
  checkAccelerator,
  checkTun,
  checkVsock,
  checkVhostNet,
  checkFileServer,
  checkKernel,
  checkRoot,
]);

function checkProcessor({ cpu, architecture, platform }: HostFacts): CheckResult {
  const flag = virtualizationFlag(cpu);
  const shows =
    architecture !== "x86_64"
      ? ""
      : flag === undefined
        ? ", shows neither vmx nor svm: no hardware virtualization, or a virtual machine without nesting"
        : `, with ${flag}`;
  const name = cpu.model === "" ? cpu.vendor : cpu.model;
  const nested = platform.isVirtual ? "; a virtual machine itself" : "";
  const where = `${platform.name === "" ? "" : `, ${platform.name}`}${platform.isContainer ? ", in a container" : ""}`;
  // The flag alone decides nothing: the next check tries what counts.
  return {
    name: "processor",
    about: "host",
    verdict: "ok",
    detail: `${cpu.count} × ${name}${shows}${nested}${where}`,
  };
}

function checkAccelerator(facts: HostFacts): CheckResult {
  const { accelerator: choice, isRoot, snapshot, configuration } = facts;
  const base = { name: "accelerator", about: "host" } as const;
  switch (choice.accelerator) {
    case "kvm": {
      const tried = snapshot === undefined ? "runs a virtual CPU" : "is there; it was not tried";
      return { ...base, verdict: "ok", detail: `KVM: /dev/kvm ${tried}` };
    }
    case "mshv": {
      const { driver } = configuration.configuration;
      if (driver === "clh" && runsThere(driver, snapshot)) {
        return { ...base, verdict: "ok", detail: "MSHV: /dev/mshv, which Cloud Hypervisor uses" };
      }
      return {
        ...base,
        verdict: "warning",
        detail: `MSHV: /dev/mshv is there, which Cloud Hypervisor can use; the configuration names ${MONITORS[driver]}`,
        fix: DRIVEN.has("clh") ? "use [hypervisor.clh]" : "see docs/limitations.md",
      };
    }
    case "tcg":
      return {
        ...base,
        verdict: "warning",
        detail: `emulation (TCG): capable for development, slow, and no security boundary. KVM is not used: ${choice.reason ?? "unknown reason"}`,
        fix: isRoot ? kvmFix(facts) : AS_ROOT,
      };
  }
}

function kvmFix({ architecture, cpu, platform, accelerator }: HostFacts): string {
  const isMissing = accelerator.reason === "/dev/kvm is missing";
  if (platform.isContainer && isMissing) return "give the container the device: --device /dev/kvm";
  if (architecture !== "x86_64") return "modprobe kvm";
  const flag = virtualizationFlag(cpu);
  if (flag !== undefined) return flag === "vmx" ? "modprobe kvm_intel" : "modprobe kvm_amd";
  const known = nestingFix(platform);
  if (known !== undefined) return known;
  return "switch virtualization on in the firmware, or nested virtualization in the hypervisor below this machine";
}

/** How monitors are called. */
const MONITORS: Readonly<Record<DriverName, string>> = {
  qemu: "QEMU",
  clh: "Cloud Hypervisor",
  firecracker: "Firecracker",
  remote: "a remote hypervisor",
  stratovirt: "StratoVirt",
  dragonball: "Dragonball",
  openvmm: "OpenVMM",
};

/** What another host runs, its own runtime decides. */
function runsThere(driver: DriverName, snapshot: string | undefined): boolean {
  return snapshot !== undefined || DRIVEN.has(driver);
}

function checkTun({ devices: { tun }, platform }: HostFacts): CheckResult {
  const base = { name: "TUN", about: "host" } as const;
  if (tun.usable)
    return { ...base, verdict: "ok", detail: "/dev/net/tun connects virtual machines to the network" };
  if (tun.why !== "missing") {
    // Whether it is there can be said; whether it works, only by who may open it.
    return { ...base, verdict: "warning", detail: `/dev/net/tun: ${tun.why}`, fix: AS_ROOT };
  }
  const fix = platform.isContainer
    ? "give the container the device: --device /dev/net/tun"
    : "modprobe tun; mkdir -p /dev/net; [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200";
  return { ...base, verdict: "failed", detail: "/dev/net/tun: missing", fix };
}

function checkOverlay({ filesystems }: HostFacts): CheckResult {
  const base = { name: "overlayfs", about: "host" } as const;
  if (filesystems.has("overlay"))
    return { ...base, verdict: "ok", detail: "container images can be layered" };
  return {
    ...base,
    verdict: "warning",
    detail: "the kernel has not loaded overlay: only snapshotters without it work, such as native",
    fix: "modprobe overlay",
  };
}

const CGROUP_CONTROLLERS = ["cpu", "memory", "pids"];
const CGROUP_MODES = {
  unified: "version 2",
  legacy: "version 1",
  hybrid: "version 1, with an empty version 2 beside it",
};

function checkCgroups({ cgroups: { mode, controllers } }: HostFacts): CheckResult {
  const base = { name: "cgroups", about: "host" } as const;
  if (mode === "none") {
    return {
      ...base,
      verdict: "failed",
      detail: "nothing is mounted at /sys/fs/cgroup",
      fix: "mount -t cgroup2 none /sys/fs/cgroup",
    };
  }
  const missing = CGROUP_CONTROLLERS.filter((name) => !controllers.has(name));
  if (missing.length === 0) return { ...base, verdict: "ok", detail: CGROUP_MODES[mode] };
  return {
    ...base,
    verdict: "warning",
    detail: `${CGROUP_MODES[mode]} without ${missing.join(", ")}: the host does not limit virtual machines by these`,
    fix: "boot with cgroup_enable=memory, or switch the controllers on in /sys/fs/cgroup/cgroup.subtree_control",
  };
}

function checkVsock({ devices: { vhostVsock } }: HostFacts): CheckResult {
  const base = { name: "vsock", about: "host", verdict: "ok" } as const;
  if (vhostVsock.usable) return { ...base, detail: "/dev/vhost-vsock reaches the agent" };
  return {
    ...base,
    detail: `/dev/vhost-vsock: ${vhostVsock.why}; virtio-serial reaches the agent instead`,
    ...(vhostVsock.why === "missing" ? { fix: "modprobe vhost_vsock" } : {}),
  };
}

function checkVhostNet({ devices: { vhostNet } }: HostFacts): CheckResult {
  const base = { name: "vhost-net", about: "host", verdict: "ok" } as const;
  if (vhostNet.usable) return { ...base, detail: "the host's kernel carries packets" };
  return {
    ...base,
    detail: `/dev/vhost-net: ${vhostNet.why}; the monitor carries packets instead, which costs speed`,
    ...(vhostNet.why === "missing" ? { fix: "modprobe vhost_net" } : {}),
  };
}

function checkUser({ isRoot }: HostFacts): CheckResult {
  const base = { name: "user", about: "setup" } as const;
  if (isRoot) return { ...base, verdict: "ok", detail: "root" };
  return {
    ...base,
    verdict: "failed",
    detail: "not root: mounts, network and devices need it, and some checks above could not be made",
    fix: AS_ROOT,
  };
}

function checkConfiguration({ configuration: fact, snapshot }: HostFacts): CheckResult {
  const base = { name: "configuration", about: "setup" } as const;
  switch (fact.kind) {
    case "read": {
      const { sources, warnings, driver } = fact.configuration;
      const [main = "", ...dropIns] = sources;
      const files = dropIns.length === 0 ? main : `${main} and ${dropIns.length} more in config.d`;
      if (!runsThere(driver, snapshot)) {
        const driven = [...DRIVEN];
        return {
          ...base,
          verdict: "failed",
          detail: `${files}: [hypervisor.${driver}]: this version drives ${driven.map((each) => MONITORS[each]).join(", ")} only`,
          fix: `use ${driven.map((each) => `[hypervisor.${each}]`).join(" or ")}`,
        };
      }
      if (warnings.length === 0) return { ...base, verdict: "ok", detail: files };
      return { ...base, verdict: "warning", detail: warnings.join("; "), fix: `edit ${main}` };
    }
    case "missing":
      return {
        ...base,
        verdict: "failed",
        detail: `${fact.error.message}; what follows is about the defaults`,
        fix: "mkdir -p /etc/kata-containers && echo '[hypervisor.qemu]' > /etc/kata-containers/configuration.toml",
      };
    case "wrong":
      return {
        ...base,
        verdict: "failed",
        detail: `${fact.error.message}; what follows is about the defaults`,
        fix: "correct the configuration file",
      };
  }
}

function checkHypervisor(facts: HostFacts): CheckResult {
  const { hypervisor, distribution, architecture, configuration } = facts;
  const { driver } = configuration.configuration;
  const base = { name: MONITORS[driver], about: "setup" } as const;
  const { program, version, error } = hypervisor;
  if (error === "")
    return {
      ...base,
      verdict: "ok",
      detail: `${program.path}: ${version || "a version that it does not tell"}`,
    };
  if (driver === "remote") {
    const fix =
      "start the service that makes machines, or set remote_hypervisor_socket of [hypervisor.remote] to its socket";
    return { ...base, verdict: "failed", detail: `${program.path}: ${error}`, fix };
  }
  const name = driver === "qemu" ? QEMU_PROGRAMS[architecture] : (program.path.split("/").at(-1) ?? "");
  const fix =
    error === "missing"
      ? installCommand(name, distribution)
      : `set path of [hypervisor.${driver}] to a program that runs here`;
  return { ...base, verdict: "failed", detail: `${program.path}: ${error}`, fix };
}

function checkFileServer({ fileServer, configuration, distribution }: HostFacts): CheckResult {
  const base = { name: "virtiofsd", about: "setup" } as const;
  const { shared_fs: sharing } = configuration.configuration.hypervisor;
  if (sharing === "none") return { ...base, verdict: "ok", detail: 'not needed: shared_fs is "none"' };
  if (fileServer !== undefined) return { ...base, verdict: "ok", detail: fileServer };
  const { virtio_fs_daemon: named, valid_virtio_fs_daemon_paths: candidates } =
    configuration.configuration.hypervisor;
  return {
    ...base,
    verdict: "failed",
    detail: `${named === "" ? candidates.join(", ") : named}: missing`,
    fix: installCommand("virtiofsd", distribution),
  };
}

const MAKE_GUEST =
  "npm run image in the source tree, then set kernel and initrd in the configuration to what it made";

function checkKernel({ kernel, architecture }: HostFacts): CheckResult {
  const base = { name: "guest kernel", about: "setup" } as const;
  if (!kernel.usable) return { ...base, verdict: "failed", detail: describeFile(kernel), fix: MAKE_GUEST };
  const formats = architecture === "aarch64" ? ["arm64 Image", "ELF"] : ["bzImage", "ELF"];
  if (!formats.includes(kernel.format)) {
    const detail = `${kernel.path}: its beginning is that of ${kernel.format === "unknown" ? "no kernel" : `an ${kernel.format}`}`;
    return { ...base, verdict: "failed", detail, fix: MAKE_GUEST };
  }
  return { ...base, verdict: "ok", detail: `${describeFile(kernel)}, ${kernel.format}` };
}

function checkRoot({ root }: HostFacts): CheckResult {
  const base = { name: `guest ${root.kind}`, about: "setup" } as const;
  if (root.usable) return { ...base, verdict: "ok", detail: describeFile(root) };
  return { ...base, verdict: "failed", detail: describeFile(root), fix: MAKE_GUEST };
}

function describeFile(file: FileFact): string {
  if (!file.usable) return file.path === "" ? file.why : `${file.path}: ${file.why}`;
  return `${file.path}: ${(file.bytes / (1 << 20)).toFixed(1)} MiB`;
}

function checkContainerd({ containerd, shim, distribution }: HostFacts): CheckResult {
  const base = { name: "containerd", about: "setup" } as const;
  if (containerd === undefined) {
    return {
      ...base,
      verdict: "warning",
      detail: "containerd is not in PATH",
      fix: installCommand("containerd", distribution),
    };
  }
  if (shim === undefined) {
    return {
      ...base,
      verdict: "warning",
      detail: `${containerd} does not find containerd-shim-kata-v2 in PATH`,
      fix: "install build/bin/containerd-shim-kata-v2 /usr/local/bin/",
    };
  }
  return { ...base, verdict: "ok", detail: `${containerd} starts ${shim}` };
}
