/**
 * What upstream's `check` requires of processor and modules, and says when it is not there. It knows KVM only, so these are facts
 * about KVM: a host can be capable without it.
 * Source: upstream's kata-runtime, `check`; the texts as an AKS node shows them.
 */
import type { Architecture } from "./host-facts.ts";

export interface ClassicFinding {
  readonly message: string;
  readonly description: string;
  readonly name: string;
  readonly type: "attribute" | "flag" | "module";
}

type Requirements = Readonly<Record<string, string>>;

const X86_FLAGS: Requirements = { lm: "64Bit CPU", sse4_1: "SSE4.1" };
const KVM: Requirements = { kvm: "Kernel-based Virtual Machine" };
const VHOST: Requirements = {
  vhost: "Host kernel accelerator for virtio",
  vhost_net: "Host kernel accelerator for virtio network",
};

const VENDORS: Readonly<Record<string, { readonly flags: Requirements; readonly modules: Requirements }>> = {
  GenuineIntel: {
    flags: { vmx: "Virtualization support", ...X86_FLAGS },
    modules: { kvm_intel: "Intel KVM", ...KVM, ...VHOST },
  },
  AuthenticAMD: {
    flags: { svm: "Virtualization support", ...X86_FLAGS },
    modules: { kvm_amd: "AMD KVM", ...KVM, ...VHOST },
  },
};

/** Modules that are looked for on any host. */
export const CLASSIC_MODULES: readonly string[] = ["kvm", "kvm_intel", "kvm_amd", "vhost", "vhost_net"];

/** What upstream's check would find missing, in the order of its tables. */
export function classicFindings(
  architecture: Architecture,
  vendor: string,
  flags: ReadonlySet<string>,
  modules: ReadonlySet<string>,
): readonly ClassicFinding[] {
  const x86 = VENDORS[vendor];
  const wanted =
    architecture === "x86_64"
      ? x86
      : { flags: {}, modules: architecture === "s390x" ? KVM : { ...KVM, ...VHOST } };
  if (wanted === undefined) {
    const message = "CPU property not found";
    return [{ message, description: "CPU vendor", name: vendor, type: "attribute" }];
  }
  return [
    ...Object.entries(wanted.flags)
      .filter(([name]) => !flags.has(name))
      .map(
        ([name, description]) =>
          ({ message: "CPU property not found", description, name, type: "flag" }) as const,
      ),
    ...Object.entries(wanted.modules)
      .filter(([name]) => !modules.has(name))
      .map(
        ([name, description]) =>
          ({ message: `kernel property ${name} not found`, description, name, type: "module" }) as const,
      ),
  ];
}
