/** The processor, as /proc/cpuinfo tells it. Source: proc(5). */

export interface CpuInfo {
  /** `GenuineIntel`, `AuthenticAMD`; on Arm the implementer's number. */
  readonly vendor: string;
  readonly model: string;
  /** CPUs that are online. */
  readonly count: number;
  /** Flags of the first CPU, such as `vmx`. */
  readonly flags: ReadonlySet<string>;
}

/** What hardware virtualization of x86 is called, by vendor. */
const VIRTUALIZATION_FLAGS = ["vmx", "svm"];

/** @param text of /proc/cpuinfo; of CPUs that differ, the first tells. */
export function parseCpuInfo(text: string): CpuInfo {
  const fields = new Map<string, string>();
  let count = 0;
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const name = line.slice(0, colon).trim();
    // On s390x each has a line of its own: `processor 0: version = FF, …`.
    if (/^processor( \d+)?$/.test(name)) count++;
    if (!fields.has(name)) fields.set(name, line.slice(colon + 1).trim());
  }
  const first = (...names: string[]) =>
    names.map((name) => fields.get(name)).find((value) => value !== undefined) ?? "";
  return {
    vendor: first("vendor_id", "CPU implementer"),
    model: first("model name", "CPU part") || s390Machine(fields.get("processor 0")),
    count,
    flags: new Set(
      first("flags", "Features", "features")
        .split(/\s+/)
        .filter((flag) => flag !== ""),
    ),
  };
}

/** Type of an s390x machine: `8561`. */
function s390Machine(processor = ""): string {
  return /machine = (\w+)/.exec(processor)?.[1] ?? "";
}

/** `vmx` or `svm` if the processor shows it, as machines without nested virtualization do not. */
export function virtualizationFlag({ flags }: CpuInfo): string | undefined {
  return VIRTUALIZATION_FLAGS.find((flag) => flags.has(flag));
}
