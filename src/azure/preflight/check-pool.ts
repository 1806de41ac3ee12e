/** Rules for a node pool. Source: MicrosoftDocs/azure-aks-docs:articles/aks/use-pod-sandboxing.md. */
import { sizeRefusal } from "../aks-error.ts";
import type { NodePool } from "../cluster.ts";
import { type AksRuntime, aksRuntime, KATA_VM_ISOLATION } from "../names.ts";
import { nearestSizes } from "../nearest-sizes.ts";
import { sizeFacts } from "../size-facts.ts";
import { type Finding, Findings } from "./types.ts";

/** The only `--os-sku` that AKS takes for containers in virtual machines. */
const OS_SKU = "AzureLinux";
/** What it was called before. */
const FORMER_OS_SKUS = ["cblmariner", "mariner"];

/** Marks the images of nodes that have Kata and Microsoft's hypervisor, in generation 2. */
export const KATA_IMAGE = "katagen2";

/** Another pool is the way out: none of these can be changed in one that exists. */
const ANOTHER_POOL = `az aks nodepool add --os-sku ${OS_SKU} --workload-runtime ${KATA_VM_ISOLATION.workloadRuntime} --node-vm-size Standard_D4s_v3 …`;

/** Whether the pool is meant for containers in virtual machines, by what it was asked for or what it was given. */
export function isKataPool(pool: NodePool): boolean {
  return aksRuntime(pool.workloadRuntime) !== undefined || pool.nodeImage.includes(KATA_IMAGE);
}

/** Findings about a pool; one about a pool for ordinary containers. */
export function checkPool(pool: NodePool): readonly Finding[] {
  const findings = new Findings(`pool ${pool.name}`);
  const runtime = aksRuntime(pool.workloadRuntime);
  if (!isKataPool(pool)) {
    const shown = pool.workloadRuntime === "" ? "not set" : pool.workloadRuntime;
    findings.add("workloadRuntime", "note", `${shown}: a pool for ordinary containers`);
    return findings.list;
  }
  checkWorkloadRuntime(pool, runtime, findings);
  checkOperatingSystem(pool, findings);
  checkSize(pool, runtime, findings);
  checkImage(pool, findings);
  checkVersion(pool, runtime ?? KATA_VM_ISOLATION, findings);
  if (pool.state !== "" && pool.state !== "Succeeded") {
    findings.add(
      "state",
      "warning",
      `provisioningState is ${pool.state}`,
      "wait, or look at az aks nodepool show",
    );
  }
  return findings.list;
}

function checkWorkloadRuntime(pool: NodePool, runtime: AksRuntime | undefined, findings: Findings): void {
  if (runtime === undefined) {
    const detail = `${pool.workloadRuntime || "not set"}, although the node image is one for Kata`;
    findings.add("workloadRuntime", "failed", detail, ANOTHER_POOL);
  } else if (runtime.former) {
    const detail = `${runtime.workloadRuntime}: the name of the preview, still taken; it is ${KATA_VM_ISOLATION.workloadRuntime} now`;
    findings.add("workloadRuntime", "ok", detail);
  } else if (runtime.feature !== undefined) {
    const detail = `${runtime.workloadRuntime}: a preview, for subscriptions with ${runtime.feature}`;
    findings.add("workloadRuntime", "ok", detail);
  } else {
    findings.add("workloadRuntime", "ok", runtime.workloadRuntime);
  }
}

function checkOperatingSystem({ osSku, osType }: NodePool, findings: Findings): void {
  if (osType !== "" && osType.toLowerCase() !== "linux") {
    findings.add("os-sku", "failed", `osType is ${osType}`, ANOTHER_POOL);
  } else if (osSku === "") {
    findings.add("os-sku", "warning", "the pool does not tell its osSku", "az aks nodepool show -o json");
  } else if (osSku.toLowerCase() === OS_SKU.toLowerCase()) {
    findings.add("os-sku", "ok", osSku);
  } else if (FORMER_OS_SKUS.includes(osSku.toLowerCase())) {
    findings.add("os-sku", "warning", `${osSku}: an earlier name, without support now`, ANOTHER_POOL);
  } else {
    findings.add("os-sku", "failed", `${osSku}: only ${OS_SKU} can run Kata`, ANOTHER_POOL);
  }
}

function checkSize(pool: NodePool, runtime: AksRuntime | undefined, findings: Findings): void {
  if (pool.size === "") {
    findings.add("size", "warning", "the pool does not tell its vmSize", "az aks nodepool show -o json");
    return;
  }
  const facts = sizeFacts(pool.size);
  const { size, nestedVirtualization, generation2, verdict, because } = facts;
  if (runtime?.kind === "confidential" && !size.includes("_cc_")) {
    const detail = `${size}: ${runtime.workloadRuntime} needs a size that makes confidential machines (_cc_)`;
    findings.add("size", "failed", detail, "--node-vm-size Standard_DC8as_cc_v5");
  } else if (verdict === "no") {
    const other = nearestSizes(size).map((each) => each.size);
    const refusal = sizeRefusal(runtime?.workloadRuntime).text.split("\n", 1)[0];
    findings.add(
      "size",
      "failed",
      `${size}: ${because}; AKS answers: ${refusal}`,
      `--node-vm-size ${other.join("|")}`,
    );
  } else if (verdict === "unknown") {
    findings.add(
      "size",
      "warning",
      `${size}: ${because} (${nestedVirtualization.source})`,
      `kata-runtime azure check-size ${size}`,
    );
  } else {
    findings.add("size", "ok", `${size}: ${because}`);
  }
  if (generation2.answer === "no") {
    findings.add("generation", "failed", `${size} has generation 1 only`, ANOTHER_POOL);
  } else if (generation2.answer === "unknown") {
    findings.add(
      "generation",
      "warning",
      `${size}: whether it has generation 2 is not known`,
      `az vm list-skus --size ${size}`,
    );
  } else if (pool.nodeImage.includes("gen2")) {
    findings.add("generation", "ok", "2, by size and node image");
  } else {
    findings.add(
      "generation",
      pool.nodeImage === "" ? "ok" : "failed",
      pool.nodeImage === ""
        ? "2 is possible"
        : `the size has generation 2, but the node image ${pool.nodeImage} is not of it`,
    );
  }
}

function checkImage({ nodeImage }: NodePool, findings: Findings): void {
  if (nodeImage === "") {
    findings.add(
      "node image",
      "warning",
      "the pool does not tell its nodeImageVersion",
      "az aks nodepool show -o json",
    );
  } else if (nodeImage.includes(KATA_IMAGE)) {
    findings.add("node image", "ok", nodeImage);
  } else {
    findings.add(
      "node image",
      "failed",
      `${nodeImage}: an image with Kata has ${KATA_IMAGE} in its name`,
      ANOTHER_POOL,
    );
  }
}

function checkVersion(pool: NodePool, runtime: AksRuntime, findings: Findings): void {
  const [major, minor] = runtime.kubernetes;
  const match = /^v?(\d+)\.(\d+)/.exec(pool.kubernetes);
  if (match === null) return;
  const found = [Number(match[1]), Number(match[2])] as const;
  const enough = found[0] > major || (found[0] === major && found[1] >= minor);
  if (enough) findings.add("Kubernetes", "ok", pool.kubernetes);
  else {
    const detail = `${pool.kubernetes}: ${runtime.workloadRuntime} needs ${major}.${minor} or later`;
    findings.add("Kubernetes", "failed", detail, "az aks upgrade");
  }
}
