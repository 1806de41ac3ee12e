/** Whether a cluster is set up for containers in virtual machines, by what it tells. */
import type { Cluster } from "../cluster.ts";
import { AKS_RUNTIMES, aksRuntime, KATA_VM_ISOLATION } from "../names.ts";
import { readRuntimeClass } from "../runtime-class.ts";
import { checkNode, labelledRuntimes } from "./check-node.ts";
import { checkPod } from "./check-pod.ts";
import { checkPool, isKataPool } from "./check-pool.ts";
import { checkRuntimeClass, isKataClass } from "./check-runtime-class.ts";
import { type Finding, Findings } from "./types.ts";

export interface PreflightReport {
  readonly findings: readonly Finding[];
  /** Nothing failed. */
  readonly passed: boolean;
}

/** @param strict a warning counts as a failure. */
export function preflight(cluster: Cluster, strict = false): PreflightReport {
  const nodes = cluster.told.has("nodes") ? cluster.nodes : undefined;
  const classes = cluster.told.has("runtimeClasses")
    ? cluster.runtimeClasses.map(readRuntimeClass)
    : undefined;
  const findings = [
    ...checkWhole(cluster),
    ...cluster.pools.flatMap(checkPool),
    ...cluster.nodes.flatMap((node) => checkNode(node, cluster.pools)),
    ...cluster.runtimeClasses.flatMap((value) => checkRuntimeClass(value, nodes)),
    ...cluster.pods.flatMap((pod) => checkPod(pod, classes, cluster.nodes)),
  ];
  const bad = (finding: Finding) => finding.verdict === "failed" || (strict && finding.verdict === "warning");
  return { findings, passed: !findings.some(bad) };
}

/** What no single object shows: that there is one of each. */
function checkWhole({ pools, nodes, runtimeClasses, told }: Cluster): readonly Finding[] {
  const findings = new Findings("cluster");
  const kataPools = pools.filter(isKataPool);
  if (told.has("pools") && kataPools.length === 0) {
    findings.add(
      "pools",
      "failed",
      "no pool is for containers in virtual machines",
      "kata-runtime azure plan --add-pool",
    );
  }
  const kataNodes = nodes.filter((node) => labelledRuntimes(node).length > 0);
  if (told.has("nodes") && kataNodes.length === 0) {
    findings.add(
      "nodes",
      "failed",
      `no node has ${AKS_RUNTIMES.map(({ label }) => label).join(" or ")}`,
      "kata-runtime azure plan --add-pool",
    );
  }
  if (told.has("runtimeClasses")) {
    const classes = runtimeClasses.map(readRuntimeClass).filter(isKataClass);
    // Each kind of pool needs a class; without pools that are told, there has to be any.
    const kinds = new Set(
      kataPools.map((pool) => (aksRuntime(pool.workloadRuntime) ?? KATA_VM_ISOLATION).kind),
    );
    for (const kind of kinds.size === 0 ? (["sandboxing"] as const) : kinds) {
      const names = AKS_RUNTIMES.filter((each) => each.kind === kind);
      const handlers = names.map(({ handler }) => handler);
      if (classes.some(({ handler }) => handlers.includes(handler))) continue;
      const detail = `none of ${names.map(({ runtimeClass }) => runtimeClass).join(", ")}`;
      findings.add(
        "runtimeclasses",
        "failed",
        detail,
        "AKS makes it with the first pool: az aks update; or kubectl apply -f deploy/runtimeclasses/",
      );
    }
  }
  return findings.list;
}
