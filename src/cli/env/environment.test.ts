import { parse } from "smol-toml";
import { describe, expect, test } from "vitest";
import { parseConfiguration } from "../../config/index.ts";
import { KataError } from "../../kata-error.ts";
import type { HostRoot } from "../host/host-root.ts";
import { guestProtections } from "../host/protections.ts";
import { sampleFacts } from "../host/sample-facts.ts";
import { describeEnvironment } from "./environment.ts";
import { toTomlDocument } from "./to-toml.ts";

const IDENTITY = { path: "/usr/bin/kata-runtime", version: "3.2.1-rc0", commit: "abc", ociVersion: "1.2.0" };

/** Names of the structure in the order of format 1.0.27, the inner ones behind a dot. */
const FIELDS = `Kernel.Path Kernel.Parameters Meta.Version Image.Path Initrd.Path
Hypervisor.MachineType Hypervisor.Version Hypervisor.Path Hypervisor.BlockDeviceDriver Hypervisor.EntropySource
Hypervisor.SharedFS Hypervisor.VirtioFSDaemon Hypervisor.SocketPath Hypervisor.Msize9p Hypervisor.MemorySlots
Hypervisor.HotPlugVFIO Hypervisor.ColdPlugVFIO Hypervisor.PCIeRootPort Hypervisor.PCIeSwitchPort Hypervisor.Debug
Hypervisor.SecurityInfo.Rootless Hypervisor.SecurityInfo.DisableSeccomp Hypervisor.SecurityInfo.GuestHookPath
Hypervisor.SecurityInfo.EnableAnnotations Hypervisor.SecurityInfo.ConfidentialGuest
Runtime.Config.Path Runtime.Path Runtime.GuestSeLinuxLabel Runtime.Experimental Runtime.Version.OCI
Runtime.Version.Version.Semver Runtime.Version.Version.Commit Runtime.Version.Version.Major
Runtime.Version.Version.Minor Runtime.Version.Version.Patch Runtime.Debug Runtime.Trace Runtime.DisableGuestSeccomp
Runtime.DisableNewNetNs Runtime.SandboxCgroupOnly
Host.AvailableGuestProtections Host.Kernel Host.Architecture Host.Distro.Name Host.Distro.Version Host.CPU.Vendor
Host.CPU.Model Host.CPU.CPUs Host.Memory.Total Host.Memory.Free Host.Memory.Available Host.VMContainerCapable
Host.SupportVSocks Agent.Debug Agent.Trace`.split(/\s+/);

function namesOf(value: object, path = ""): string[] {
  return Object.entries(value).flatMap(([name, inner]) =>
    typeof inner === "object" && !Array.isArray(inner)
      ? namesOf(inner, `${path}${name}.`)
      : [`${path}${name}`],
  );
}

describe("describeEnvironment()", () => {
  test("has the fields of format 1.0.27 in their order", () => {
    expect(namesOf(describeEnvironment(sampleFacts(), IDENTITY, true))).toEqual(FIELDS);
  });

  test("takes its values from configuration and host", () => {
    const configuration = parseConfiguration(
      `[hypervisor.qemu]
path = "/opt/qemu"
kernel = "/k"
initrd = "/i"
kernel_params = "a=1"
enable_annotations = []
enable_debug = true
rootless = true
pcie_root_port = 2
[agent.kata]
enable_tracing = true
[runtime]
enable_debug = true
experimental = ["force_guest_pull"]
sandbox_cgroup_only = true
`,
      "/etc/kata-containers/configuration.toml",
    );
    const facts = sampleFacts({ configuration: { kind: "read", configuration } });
    expect(describeEnvironment(facts, IDENTITY, false)).toEqual({
      Kernel: { Path: "/k", Parameters: "a=1" },
      Meta: { Version: "1.0.27" },
      Image: { Path: "" },
      Initrd: { Path: "/i" },
      Hypervisor: {
        MachineType: "q35",
        Version: "QEMU emulator version 7.2.22",
        Path: "/opt/qemu",
        BlockDeviceDriver: "virtio-blk",
        EntropySource: "/dev/urandom",
        SharedFS: "virtio-fs",
        VirtioFSDaemon: "/usr/lib/qemu/virtiofsd",
        SocketPath: "",
        Msize9p: 8192,
        MemorySlots: 10,
        HotPlugVFIO: "no-port",
        ColdPlugVFIO: "no-port",
        PCIeRootPort: 2,
        PCIeSwitchPort: 0,
        Debug: true,
        SecurityInfo: {
          Rootless: true,
          DisableSeccomp: false,
          GuestHookPath: "",
          EnableAnnotations: [],
          ConfidentialGuest: false,
        },
      },
      Runtime: {
        Config: { Path: "/etc/kata-containers/configuration.toml" },
        Path: "/usr/bin/kata-runtime",
        GuestSeLinuxLabel: "",
        Experimental: ["force_guest_pull"],
        Version: {
          OCI: "1.2.0",
          Version: { Semver: "3.2.1-rc0", Commit: "abc", Major: 3, Minor: 2, Patch: 1 },
        },
        Debug: true,
        Trace: false,
        DisableGuestSeccomp: true,
        DisableNewNetNs: false,
        SandboxCgroupOnly: true,
      },
      Host: {
        AvailableGuestProtections: [],
        Kernel: "6.1.0-40-amd64",
        Architecture: "amd64",
        Distro: { Name: "Debian GNU/Linux", Version: "12" },
        CPU: { Vendor: "GenuineIntel", Model: "Xeon", CPUs: 4 },
        Memory: { Total: 15858032, Free: 10365404, Available: 12566468 },
        VMContainerCapable: false,
        SupportVSocks: true,
      },
      Agent: { Debug: false, Trace: true },
    });
  });

  test("says <<unknown>> of what it cannot know", () => {
    const facts = sampleFacts({
      isRoot: false,
      hypervisor: { program: { usable: false, path: "/q", why: "missing" }, version: "", error: "missing" },
    });
    const { Version, SocketPath } = describeEnvironment(facts, IDENTITY, true).Hypervisor;
    expect({ Version, SocketPath }).toEqual({ Version: "<<unknown>>", SocketPath: "<<unknown>>" });
  });

  test("names the protections that the processor shows", () => {
    const flags = new Set(["svm", "sev", "sev_snp"]);
    const host: HostRoot = {
      directory: undefined,
      open: (path) => {
        throw new KataError("system-call", { operation: "open", object: path, errno: "ENOENT" });
      },
    };
    const cpu = { vendor: "AuthenticAMD", model: "EPYC", count: 1, flags };
    const facts = sampleFacts({ protections: guestProtections(host, cpu) });
    expect(describeEnvironment(facts, IDENTITY, true).Host.AvailableGuestProtections).toEqual(["sev", "snp"]);
  });
});

describe("toTomlDocument()", () => {
  test("is upstream's shape: values before tables, inner tables indented, groups apart", () => {
    const structure = {
      A: { Path: "/a", B: { C: { N: 1 }, On: true } },
      D: { Empty: [], List: ["x", 'y"'] },
    };
    expect(toTomlDocument(structure)).toBe(
      '[A]\n  Path = "/a"\n  [A.B]\n    On = true\n    [A.B.C]\n      N = 1\n\n[D]\n  List = ["x", "y\\""]\n',
    );
  });

  test("keeps an empty list if it is told to", () => {
    expect(toTomlDocument({ D: { Empty: [] } }, ["Empty"])).toBe("[D]\n  Empty = []\n");
  });

  test("is read back as what it was", () => {
    const structure = describeEnvironment(sampleFacts(), IDENTITY, true);
    const kept = ["EnableAnnotations", "AvailableGuestProtections", "Experimental"];
    expect(parse(toTomlDocument(structure, kept))).toEqual(structure);
  });
});
