/**
 * Rules for pods in virtual machines: sizes, overhead, and what AKS does not support.
 * Source: MicrosoftDocs/azure-aks-docs:articles/aks/considerations-pod-sandboxing.md.
 */
import type { ClusterNode, ClusterPod, PodContainer } from "../cluster.ts";
import type { RuntimeClass } from "../runtime-class.ts";
import {
  DEFAULT_POD_MEMORY,
  formatBytes,
  LEAST_POD_MEMORY,
  machineCpus,
  parseQuantity,
  referenceOverhead,
} from "../sizing.ts";
import { isKataClass } from "./check-runtime-class.ts";
import { type Finding, Findings } from "./types.ts";

/**
 * Findings about a pod; none about a pod for ordinary containers.
 *
 * @param classes undefined if they were not told. @param nodes those of the cluster, empty if they were not told.
 */
export function checkPod(
  pod: ClusterPod,
  classes: readonly RuntimeClass[] | undefined,
  nodes: readonly ClusterNode[],
): readonly Finding[] {
  const findings = new Findings(`pod ${pod.name}`);
  if (pod.runtimeClass === "") return [];
  const used = classes?.find(({ name }) => name === pod.runtimeClass);
  if (classes !== undefined && used === undefined) {
    const detail = `the cluster has no RuntimeClass ${pod.runtimeClass}`;
    findings.add("runtimeClassName", "failed", detail, "kubectl get runtimeclasses");
    return findings.list;
  }
  if (used === undefined ? !pod.runtimeClass.startsWith("kata") : !isKataClass(used)) return [];
  if (pod.hostNetwork) {
    findings.add(
      "hostNetwork",
      "failed",
      "a virtual machine cannot have the host's network",
      "take hostNetwork away",
    );
  }
  for (const { name, privileged } of pod.containers) {
    if (privileged) {
      findings.add(
        "privileged",
        "note",
        `${name}: is root in the virtual machine, without devices of the host`,
      );
    }
  }
  const memory = checkMemory(pod.containers, findings);
  checkCpus(pod.containers, findings);
  if (memory === undefined) return findings.list;
  if (used !== undefined) checkOverhead(memory, used, findings);
  checkRoom(memory, used, nodes, findings);
  return findings.list;
}

/** The pod's memory limit, bytes; undefined if it makes no sense. */
function checkMemory(containers: readonly PodContainer[], findings: Findings): number | undefined {
  let sum = 0;
  const without: string[] = [];
  for (const { name, memory } of containers) {
    if (memory === "") {
      without.push(name);
      continue;
    }
    const value = parseQuantity(memory);
    if (value === undefined) {
      findings.add("memory", "failed", `${name}: ${JSON.stringify(memory)} is no quantity`, "such as 512Mi");
      return undefined;
    }
    sum += value;
  }
  if (sum === 0) {
    findings.add(
      "memory",
      "warning",
      `no limit: the machine gets ${formatBytes(DEFAULT_POD_MEMORY)}, the guest's kernel included, and keeps it`,
      "set resources.limits.memory",
    );
    return DEFAULT_POD_MEMORY;
  }
  if (sum < LEAST_POD_MEMORY) {
    findings.add(
      "memory",
      "failed",
      `limit ${formatBytes(sum)}: at least ${formatBytes(LEAST_POD_MEMORY)} is supported`,
      `resources.limits.memory: ${formatBytes(LEAST_POD_MEMORY)}`,
    );
    return undefined;
  }
  const rest = without.length === 0 ? "" : `; without a limit: ${without.join(", ")}, which shares it`;
  findings.add(
    "memory",
    without.length === 0 ? "ok" : "warning",
    `the machine has ${formatBytes(sum)}, the guest's kernel included${rest}`,
    ...(without.length === 0 ? [] : ["set resources.limits.memory of each container"]),
  );
  return sum;
}

function checkCpus(containers: readonly PodContainer[], findings: Findings): void {
  const limits = containers.map(({ cpu }) => (cpu === "" ? undefined : parseQuantity(cpu)));
  const known = limits.filter((limit) => limit !== undefined);
  const sum = known.length === 0 ? undefined : known.reduce((a, b) => a + b, 0);
  const detail =
    sum === undefined
      ? "no limit: the machine has 1 CPU"
      : `limit ${Number(sum.toFixed(3))}: the machine has ${machineCpus(sum)}`;
  findings.add("cpu", "ok", detail);
}

function checkOverhead(limit: number, { name, overhead }: RuntimeClass, findings: Findings): void {
  const advised = referenceOverhead(limit);
  const memory = overhead.memory === undefined ? undefined : parseQuantity(overhead.memory);
  if (advised === undefined) {
    findings.add("overhead", "note", `AKS's table ends below a limit of ${formatBytes(limit)}`);
  } else if (memory !== undefined && memory < advised) {
    const detail = `${formatBytes(memory)} of ${name}: AKS advises ${formatBytes(advised)} for a limit of ${formatBytes(limit)}; beyond it the pod is killed`;
    findings.add(
      "overhead",
      "warning",
      detail,
      `a RuntimeClass with handler kata and overhead.podFixed.memory: ${formatBytes(advised)}`,
    );
  }
}

function checkRoom(
  limit: number,
  used: RuntimeClass | undefined,
  nodes: readonly ClusterNode[],
  findings: Findings,
): void {
  const selector = Object.entries(used?.nodeSelector ?? {});
  const rooms = nodes
    .filter(({ labels }) => selector.every(([name, value]) => labels[name] === value))
    .map(({ allocatableMemory }) => parseQuantity(allocatableMemory))
    .filter((room) => room !== undefined);
  const overhead = parseQuantity(used?.overhead.memory ?? "0") ?? 0;
  const most = Math.max(0, ...rooms);
  if (rooms.length > 0 && limit + overhead > most) {
    findings.add(
      "room",
      "failed",
      `limit and overhead are ${formatBytes(limit + overhead)}, and the largest node has ${formatBytes(most)}`,
      "a larger --node-vm-size",
    );
  }
}
