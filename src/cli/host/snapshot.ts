/** What a live host is asked for by trying, read from the files of a snapshot instead. */
import {
  type Configuration,
  type ConfigurationSource,
  configurationPaths,
  defaultConfiguration,
  dropInDirectory,
  parseConfiguration,
} from "../../config/index.ts";
import { KataError } from "../../kata-error.ts";
import type { AcceleratorChoice } from "../../sandbox/hypervisor/accelerator.ts";
import { O_RDONLY, read } from "../../sys/files.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { type CpuInfo, virtualizationFlag } from "./cpu-info.ts";
import type { Architecture, ConfigurationFact } from "./host-facts.ts";
import { existsIn, type HostRoot, namesIn, realPathIn, textIn } from "./host-root.ts";

/** Largest configuration file, bytes. */
const MAX_CONFIGURATION_BYTES = 4 << 20;

/** By what the processor is called; x86_64 if nothing tells. Sources: proc(5), Linux Documentation/admin-guide/sysctl/kernel.rst. */
export function snapshotArchitecture(host: HostRoot, cpu: CpuInfo): Architecture {
  const told = textIn(host, "/proc/sys/kernel/arch")?.trim();
  const known = (["x86_64", "aarch64", "s390x"] as const).find((name) => name === told);
  if (known !== undefined) return known;
  if (cpu.vendor.startsWith("0x")) return "aarch64";
  return cpu.vendor.startsWith("IBM") ? "s390x" : "x86_64";
}

/** `uname -r`; empty if the snapshot does not tell. */
export function snapshotKernelRelease(host: HostRoot): string {
  const release = textIn(host, "/proc/sys/kernel/osrelease")?.trim();
  if (release !== undefined) return release;
  return /^Linux version (\S+)/.exec(textIn(host, "/proc/version") ?? "")?.[1] ?? "";
}

/** What devices and processor promise; nothing can be tried. */
export function snapshotAccelerator(
  host: HostRoot,
  cpu: CpuInfo,
  architecture: Architecture,
): AcceleratorChoice {
  const hasKvm = existsIn(host, "/dev/kvm");
  const cannot =
    architecture === "x86_64" && virtualizationFlag(cpu) === undefined
      ? "the processor shows neither vmx nor svm"
      : architecture === "s390x" && !cpu.flags.has("sie")
        ? "the processor does not show sie"
        : undefined;
  if (hasKvm && cannot === undefined) return { accelerator: "kvm", reason: undefined };
  if (existsIn(host, "/dev/mshv")) return { accelerator: "mshv", reason: undefined };
  return {
    accelerator: "tcg",
    reason: hasKvm ? `/dev/kvm is there, but ${cannot}` : "/dev/kvm is missing",
  };
}

/** The configuration that the host's runtime would read. What is unknown in it is a warning: the runtime there may be another. */
export function snapshotConfiguration(host: HostRoot, option: string): ConfigurationFact {
  const candidates = configurationPaths({ option });
  const defaults = defaultConfiguration("qemu");
  try {
    const named = candidates.find((path) => existsIn(host, path));
    if (named !== undefined) return { kind: "read", configuration: readIn(host, named) };
    const error = new KataError("invalid-configuration", {
      operation: "find configuration",
      object: candidates.join(", "),
      errno: "ENOENT",
      hint: `looked for below ${host.directory}`,
    });
    return { kind: "missing", configuration: defaults, error };
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    return { kind: "wrong", configuration: defaults, error };
  }
}

function readIn(host: HostRoot, named: string): Configuration {
  const source = (path: string): ConfigurationSource => ({
    name: path,
    text: textIn(host, path, MAX_CONFIGURATION_BYTES) ?? "",
  });
  const real = realPathIn(host, named) ?? named;
  const directory = dropInDirectory(real);
  const dropIns = namesIn(host, directory)
    .filter((name) => name.endsWith(".toml") && !name.startsWith("."))
    .map((name) => source(`${directory}/${name}`));
  // Named as the host resolves it: that is what a runtime there shows.
  return parseConfiguration(source(real).text, real, { dropIns, strict: false });
}

/** How monitors say what they are, in the text of their programs. Source: their `--version`. */
const VERSION_TEXTS: readonly RegExp[] = [
  /QEMU emulator version \d[ -~]*/,
  /cloud-hypervisor v\d+\.\d+[\w.+-]*/,
  /Firecracker v\d+\.\d+[\w.+-]*/,
];
/** Larger than any monitor. */
const MAX_PROGRAM_BYTES = 64 << 20;
const CHUNK_BYTES = 1 << 20;
/** A text that lies across two chunks is found in the second with so much of the first. */
const OVERLAP_BYTES = 256;

/** What `--version` of a monitor would say, from the text in its program, which is not executed; empty if it is not found. */
export function versionInProgram(host: HostRoot, path: string): string {
  using file = host.open(path, O_RDONLY);
  const bytes = new Uint8Array(OVERLAP_BYTES + CHUNK_BYTES);
  let kept = 0;
  for (let total = 0; total < MAX_PROGRAM_BYTES; ) {
    const count = read(file.fd, bytes.subarray(kept, kept + CHUNK_BYTES));
    if (count === 0) break;
    total += count;
    const text = utf8Decode(bytes.subarray(0, kept + count));
    for (const pattern of VERSION_TEXTS) {
      const found = pattern.exec(text)?.[0];
      if (found !== undefined) return found.trim();
    }
    const from = Math.max(0, kept + count - OVERLAP_BYTES);
    bytes.copyWithin(0, from, kept + count);
    kept = kept + count - from;
  }
  return "";
}
