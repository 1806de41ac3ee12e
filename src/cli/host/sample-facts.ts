/** A host that lacks nothing, for tests to take something away from. */
import { parseConfiguration } from "../../config/index.ts";
import type { HostFacts } from "./host-facts.ts";

export function sampleFacts(changes: Partial<HostFacts> = {}): HostFacts {
  const text = '[hypervisor.qemu]\nkernel = "/k/vmlinux"\ninitrd = "/k/initrd"\n';
  return {
    snapshot: undefined,
    architecture: "x86_64",
    platform: { name: "", cloud: undefined, isVirtual: false, isContainer: false },
    isRoot: true,
    kernelRelease: "6.1.0-40-amd64",
    distribution: { id: "debian", like: [], name: "Debian GNU/Linux", version: "12" },
    cpu: { vendor: "GenuineIntel", model: "Xeon", count: 4, flags: new Set(["vmx", "lm", "sse4_1"]) },
    memory: { total: 15858032, free: 10365404, available: 12566468 },
    accelerator: { accelerator: "kvm", reason: undefined },
    configuration: { kind: "read", configuration: parseConfiguration(text, "/etc/kata-containers/c.toml") },
    hypervisor: {
      program: { usable: true, path: "/usr/bin/qemu-system-x86_64", bytes: 1 },
      version: "QEMU emulator version 7.2.22",
      error: "",
    },
    kernel: { usable: true, path: "/k/vmlinux", bytes: 10 << 20, format: "ELF" },
    root: { usable: true, path: "/k/initrd", bytes: 5 << 20, kind: "initrd" },
    fileServer: "/usr/lib/qemu/virtiofsd",
    jailer: undefined,
    diskMaker: "/usr/sbin/mkfs.ext4",
    devices: { tun: { usable: true }, vhostVsock: { usable: true }, vhostNet: { usable: true } },
    cgroups: { mode: "unified", controllers: new Set(["cpu", "memory", "pids"]) },
    modules: new Set(["kvm", "kvm_intel", "vhost", "vhost_net"]),
    protections: [],
    filesystems: new Set(["overlay"]),
    containerd: "/usr/bin/containerd",
    shim: "/usr/local/bin/containerd-shim-kata-v2",
    ...changes,
  };
}
