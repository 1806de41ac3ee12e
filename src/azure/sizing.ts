/**
 * How large the virtual machine of a pod becomes on AKS, and what has to be reserved beside it.
 * Source: MicrosoftDocs/azure-aks-docs:articles/aks/considerations-pod-sandboxing.md.
 */

export const MIB = 1 << 20;
const GIB = 1 << 30;

/** Least memory limit of a pod that is supported, bytes. */
export const LEAST_POD_MEMORY = 128 * MIB;
/** Memory of the virtual machine of a pod without a limit, bytes. */
export const DEFAULT_POD_MEMORY = 512 * MIB;
/** Overhead of AKS's own RuntimeClass: the machine of a pod without a limit, and some 88 MiB of the host's parts; bytes. */
export const DEFAULT_OVERHEAD = 600 * MIB;

/** Overheads that AKS advises: up to this memory limit, this overhead; bytes. */
export const REFERENCE_OVERHEADS: readonly { readonly limit: number; readonly overhead: number }[] = [
  { limit: 128 * MIB, overhead: 16 * MIB },
  { limit: 256 * MIB, overhead: 32 * MIB },
  { limit: GIB, overhead: 128 * MIB },
  { limit: 2 * GIB, overhead: 256 * MIB },
  { limit: 4 * GIB, overhead: 374 * MIB },
  { limit: 8 * GIB, overhead: 512 * MIB },
  { limit: 32 * GIB, overhead: 640 * MIB },
  { limit: 64 * GIB, overhead: 768 * MIB },
  { limit: 96 * GIB, overhead: 896 * MIB },
  { limit: 128 * GIB, overhead: GIB },
];

/** Overhead that AKS advises for a pod with memory limit `limit`, bytes; undefined beyond its table. */
export function referenceOverhead(limit: number): number | undefined {
  return REFERENCE_OVERHEADS.find((row) => limit <= row.limit)?.overhead;
}

/** Largest memory limit for which `overhead` is enough by AKS's table, bytes; 0 if it is for none. */
export function limitFor(overhead: number): number {
  return REFERENCE_OVERHEADS.findLast((row) => row.overhead <= overhead)?.limit ?? 0;
}

/** CPUs of the virtual machine: the limit of the pod, rounded up; 1 without one. */
export function machineCpus(limit: number | undefined): number {
  return limit === undefined ? 1 : Math.max(1, Math.ceil(limit));
}

const FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A quantity of Kubernetes, such as `600Mi` or `250m`; undefined for what is none. Source: apimachinery resource.Quantity. */
export function parseQuantity(text: string): number | undefined {
  const match =
    /^([+-]?(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18}))(?:([eE][+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i))?$/.exec(
      text,
    );
  if (match === null) return undefined;
  const [, digits = "", exponent = "", suffix = ""] = match;
  const value = Number(digits + exponent) * (FACTORS[suffix] ?? 1);
  // A factor below 1 would leave the noise of binary fractions: 0.1 for 100m.
  return Number(value.toPrecision(15));
}

/** `bytes` as Kubernetes writes them: `600Mi`, `1Gi`. */
export function formatBytes(bytes: number): string {
  if (bytes !== 0 && bytes % GIB === 0) return `${bytes / GIB}Gi`;
  return bytes % MIB === 0 ? `${bytes / MIB}Mi` : `${Number((bytes / MIB).toFixed(1))}Mi`;
}
