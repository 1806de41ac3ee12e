/** Rules for a node. Source: an AKS cluster of April 2025; Azure/AgentBaker vhdbuilder/release-notes (gen2kata). */
import type { ClusterNode, NodePool } from "../cluster.ts";
import { AKS_RUNTIMES, type AksRuntime, aksRuntime } from "../names.ts";
import { sizeFacts } from "../size-facts.ts";
import { isKataPool, KATA_IMAGE } from "./check-pool.ts";
import { type Finding, Findings } from "./types.ts";

const POOL_LABELS = ["kubernetes.azure.com/agentpool", "agentpool"];
const IMAGE_LABEL = "kubernetes.azure.com/node-image-version";
const SIZE_LABELS = ["node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"];
/** The kernel of the root partition of Microsoft's hypervisor. */
const KERNEL_MARK = "mshv";

/** The runtimes whose label a node has. */
export function labelledRuntimes({ labels }: ClusterNode): readonly AksRuntime[] {
  return AKS_RUNTIMES.filter(({ label }) => labels[label]?.toLowerCase() === "true");
}

function firstOf(labels: ClusterNode["labels"], names: readonly string[]): string {
  return names.map((name) => labels[name]).find((value) => value !== undefined) ?? "";
}

/** Findings about a node; one about a node for ordinary containers. */
export function checkNode(node: ClusterNode, pools: readonly NodePool[]): readonly Finding[] {
  const findings = new Findings(`node ${node.name}`);
  const poolName = firstOf(node.labels, POOL_LABELS);
  const pool = pools.find(({ name }) => name === poolName);
  const labelled = labelledRuntimes(node);
  const image = node.labels[IMAGE_LABEL] ?? "";
  const meant = labelled.length > 0 || image.includes(KATA_IMAGE) || (pool !== undefined && isKataPool(pool));
  if (!meant) {
    findings.add("label", "note", "a node for ordinary containers");
    return findings.list;
  }
  checkLabels(labelled, pool, findings);
  checkImageOf(image, pool, findings);
  if (node.kernel.includes(KERNEL_MARK)) findings.add("kernel", "ok", node.kernel);
  else {
    const detail = `${node.kernel || "not told"}: the kernel of Microsoft's hypervisor has ${KERNEL_MARK} in its release`;
    findings.add("kernel", "failed", detail, "az aks nodepool upgrade --node-image-only, or another pool");
  }
  checkSizeOf(firstOf(node.labels, SIZE_LABELS), findings);
  if (node.architecture !== "" && node.architecture !== "amd64") {
    findings.add(
      "architecture",
      "failed",
      `${node.architecture}: AKS has Kata on amd64 only`,
      "another pool",
    );
  }
  if (node.containerRuntime !== "" && !node.containerRuntime.startsWith("containerd://")) {
    findings.add(
      "container runtime",
      "failed",
      `${node.containerRuntime}: expected containerd`,
      "another pool",
    );
  }
  if (!node.ready) findings.add("state", "warning", "not Ready", `kubectl describe node ${node.name}`);
  return findings.list;
}

function checkLabels(labelled: readonly AksRuntime[], pool: NodePool | undefined, findings: Findings): void {
  const wanted = pool === undefined ? undefined : aksRuntime(pool.workloadRuntime);
  const names = labelled.map(({ label }) => `${label}=true`).join(", ");
  if (labelled.length === 0) {
    const label = wanted?.label ?? AKS_RUNTIMES[0]?.label;
    const detail = `none of ${AKS_RUNTIMES.map((each) => each.label).join(", ")} is true: pods of the RuntimeClass are not put here`;
    findings.add(
      "label",
      "failed",
      detail,
      `AKS sets ${label}=true: az aks nodepool upgrade --node-image-only`,
    );
  } else if (wanted !== undefined && !labelled.some(({ kind }) => kind === wanted.kind)) {
    findings.add("label", "failed", `${names}, but the pool is of ${wanted.workloadRuntime}`, "another pool");
  } else {
    findings.add("label", "ok", names);
  }
}

function checkImageOf(image: string, pool: NodePool | undefined, findings: Findings): void {
  if (image === "") {
    findings.add("node image", "warning", `no label ${IMAGE_LABEL}`, "is it a node of AKS?");
  } else if (!image.includes(KATA_IMAGE)) {
    const detail = `${image}: an image with Kata has ${KATA_IMAGE} in its name`;
    findings.add("node image", "failed", detail, "another pool");
  } else if (pool !== undefined && pool.nodeImage !== "" && pool.nodeImage !== image) {
    const detail = `${image}, while the pool is to have ${pool.nodeImage}`;
    findings.add("node image", "warning", detail, "az aks nodepool upgrade --node-image-only");
  } else {
    findings.add("node image", "ok", image);
  }
}

function checkSizeOf(size: string, findings: Findings): void {
  if (size === "") return;
  const { verdict, because } = sizeFacts(size);
  const severity = { yes: "ok", unknown: "warning", no: "failed" } as const;
  const detail = `${size}: ${because}`;
  if (verdict === "yes") findings.add("size", "ok", detail);
  else findings.add("size", severity[verdict], detail, `kata-runtime azure check-size ${size}`);
}
