/** Rules for a RuntimeClass. Source: MicrosoftDocs/azure-aks-docs:articles/aks/considerations-pod-sandboxing.md. */
import type { ClusterNode } from "../cluster.ts";
import { AKS_RUNTIMES, type AksRuntime } from "../names.ts";
import { type RuntimeClass, readRuntimeClass, runtimeClassFaults } from "../runtime-class.ts";
import { DEFAULT_OVERHEAD, formatBytes, limitFor, parseQuantity } from "../sizing.ts";
import { type Finding, Findings } from "./types.ts";

/** What AKS puts on the classes that it keeps as they are. */
const ADDON_LABELS: Readonly<Record<string, string>> = {
  "addonmanager.kubernetes.io/mode": "Reconcile",
  "kubernetes.io/cluster-service": "true",
};

const HANDLERS = new Set(AKS_RUNTIMES.map(({ handler }) => handler));

/** Handlers that run pods in virtual machines, besides AKS's own: `kata-preview`. */
export function isKataClass({ name, handler }: RuntimeClass): boolean {
  return (
    HANDLERS.has(handler) ||
    handler.startsWith("kata-") ||
    AKS_RUNTIMES.some((each) => each.runtimeClass === name)
  );
}

/** @param nodes undefined if they were not told. */
export function checkRuntimeClass(
  value: unknown,
  nodes: readonly ClusterNode[] | undefined,
): readonly Finding[] {
  const found = readRuntimeClass(value);
  const findings = new Findings(`runtimeclass ${found.name}`);
  for (const fault of runtimeClassFaults(value))
    findings.add("schema", "failed", fault, "kubectl apply --validate=strict");
  if (!isKataClass(found)) {
    findings.add("handler", "note", `${found.handler}: for ordinary containers`);
    return findings.list;
  }
  const own = AKS_RUNTIMES.find(({ runtimeClass }) => runtimeClass === found.name);
  if (own === undefined) findings.add("handler", "ok", `${found.handler}, a class of your own`);
  else checkOwn(found, own, findings);
  checkSelector(found, nodes, findings);
  checkOverhead(found, findings);
  return findings.list;
}

/** A class that AKS makes. */
function checkOwn(found: RuntimeClass, own: AksRuntime, findings: Findings): void {
  if (found.handler === own.handler) findings.add("handler", "ok", found.handler);
  else {
    const detail = `${found.handler}: containerd on these nodes calls it ${own.handler}`;
    findings.add("handler", "failed", detail, `kubectl delete runtimeclass ${found.name}; AKS makes it anew`);
  }
  const missing = Object.entries(ADDON_LABELS).filter(([name, value]) => found.labels[name] !== value);
  if (missing.length === 0) findings.add("labels", "ok", "kept by AKS");
  else {
    const names = missing.map(([name, value]) => `${name}=${value}`).join(", ");
    findings.add(
      "labels",
      "warning",
      `without ${names}: AKS does not keep it as it is`,
      `kubectl label runtimeclass ${found.name} ${names.replaceAll(", ", " ")}`,
    );
  }
}

function checkSelector(
  found: RuntimeClass,
  nodes: readonly ClusterNode[] | undefined,
  findings: Findings,
): void {
  const selector = Object.entries(found.nodeSelector);
  const shown = selector.map(([name, value]) => `${name}=${value}`).join(",");
  if (selector.length === 0) {
    const fix = `scheduling.nodeSelector: {${AKS_RUNTIMES[0]?.label}: "true"}`;
    findings.add("nodeSelector", "warning", "none: pods may be put on nodes without Kata", fix);
    return;
  }
  if (nodes === undefined) {
    findings.add("nodeSelector", "ok", shown);
    return;
  }
  const matching = nodes.filter(({ labels }) => selector.every(([name, value]) => labels[name] === value));
  if (matching.length > 0)
    findings.add("nodeSelector", "ok", `${shown}: ${matching.length} of ${nodes.length} nodes`);
  else
    findings.add(
      "nodeSelector",
      "failed",
      `${shown}: no node has it, so pods stay Pending`,
      `kubectl get nodes -l ${shown}`,
    );
}

function checkOverhead({ overhead, handler }: RuntimeClass, findings: Findings): void {
  const memory = overhead.memory === undefined ? undefined : parseQuantity(overhead.memory);
  if (memory === undefined) {
    const detail =
      "no memory: what a pod needs besides its limit is not counted, and the node can run out of it";
    findings.add(
      "overhead",
      "warning",
      detail,
      `overhead.podFixed.memory: ${formatBytes(DEFAULT_OVERHEAD)} is AKS's default`,
    );
    return;
  }
  const limit = limitFor(memory);
  const shown = formatBytes(memory);
  if (limit === 0) {
    findings.add(
      "overhead",
      "failed",
      `${shown} is less than AKS advises for the smallest pod`,
      "overhead.podFixed.memory: 16Mi or more",
    );
  } else if (handler === "kata-cc") {
    findings.add("overhead", "ok", shown);
  } else {
    findings.add(
      "overhead",
      "ok",
      `${shown}: by AKS's table enough for pods with a memory limit up to ${formatBytes(limit)}`,
    );
  }
}
