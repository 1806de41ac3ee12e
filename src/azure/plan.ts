/** The commands of a set-up that works. Source: MicrosoftDocs/azure-aks-docs:articles/aks/use-pod-sandboxing.md. */

import { suggestion } from "../config/nearest-name.ts";
import { KataError } from "../kata-error.ts";
import { AKS_RUNTIMES, type AksRuntime, aksRuntime } from "./names.ts";
import { sizeSpelling } from "./size-facts.ts";

export interface PlanRequest {
  readonly resourceGroup: string;
  readonly cluster: string;
  readonly location: string;
  readonly size: string;
  readonly nodes: number;
  readonly workloadRuntime: string;
  /** Of a pool to add to a cluster that exists; undefined to make a cluster. */
  readonly addPool: string | undefined;
}

export interface PlanStep {
  readonly why: string;
  readonly command: string;
}

/** Version of `az` that knows the names without extension. */
const AZ_VERSION = "2.80.0";
/** Nodes of a pool at most. Source: AKS quotas, virtual machine scale sets. */
const MAX_NODES = 1000;

/**
 * The steps to containers in virtual machines, and how to see that they are.
 *
 * @throws KataError `invalid-argument` for a name that Azure would not take.
 */
export function plan(request: PlanRequest): readonly PlanStep[] {
  const runtime = runtimeOf(request.workloadRuntime);
  checkNames(request);
  const group = `--resource-group ${quote(request.resourceGroup)}`;
  const pool = `--os-sku AzureLinux --workload-runtime ${runtime.workloadRuntime} --node-vm-size ${sizeSpelling(request.size)} --node-count ${request.nodes}`;
  return [
    ...prepare(runtime),
    ...(request.addPool === undefined
      ? [
          step(
            "the resource group",
            `az group create --name ${quote(request.resourceGroup)} --location ${quote(request.location)}`,
          ),
          step(
            "a cluster whose nodes have Microsoft's hypervisor",
            `az aks create ${group} --name ${quote(request.cluster)} ${pool}${runtime.kind === "confidential" ? " --enable-oidc-issuer --enable-workload-identity" : ""}`,
          ),
        ]
      : [
          step(
            "a pool whose nodes have Microsoft's hypervisor",
            `az aks nodepool add ${group} --cluster-name ${quote(request.cluster)} --name ${quote(request.addPool)} ${pool}`,
          ),
          step("let the cluster know of it", `az aks update ${group} --name ${quote(request.cluster)}`),
        ]),
    step(
      "access to it",
      `az aks get-credentials ${group} --name ${quote(request.cluster)} --overwrite-existing`,
    ),
    ...verify(runtime, group, request.cluster),
  ];
}

const step = (why: string, command: string): PlanStep => ({ why, command });

function prepare(runtime: AksRuntime): PlanStep[] {
  if (runtime.feature === undefined) {
    return [step(`az has to be ${AZ_VERSION} or later`, "az version --query '\"azure-cli\"' --output tsv")];
  }
  const extensions = runtime.kind === "confidential" ? ["aks-preview", "confcom"] : ["aks-preview"];
  const named = `--namespace Microsoft.ContainerService --name ${runtime.feature}`;
  return [
    ...extensions.map((name) =>
      step("a preview needs the extension", `az extension add --upgrade --name ${name}`),
    ),
    step("and its flag in the subscription", `az feature register ${named}`),
    step("wait until this says Registered", `az feature show ${named} --query properties.state --output tsv`),
    step("then let the provider know", "az provider register --namespace Microsoft.ContainerService"),
  ];
}

const IMAGE = "mcr.microsoft.com/aks/fundamental/base-ubuntu:v0.0.11";

function verify(runtime: AksRuntime, group: string, cluster: string): PlanStep[] {
  const overrides = JSON.stringify({ spec: { runtimeClassName: runtime.runtimeClass } });
  const run = (name: string, options: string) =>
    `kubectl run ${name} --rm --attach --restart=Never --image=${IMAGE}${options} --command -- uname -r`;
  return [
    step(
      "the class and the nodes are there",
      `kubectl get runtimeclass ${runtime.runtimeClass}; kubectl get nodes --selector ${runtime.label}=true`,
    ),
    step(
      "all of it is as it should be",
      `{ az aks show ${group} --name ${quote(cluster)} --output json; kubectl get nodes,runtimeclasses --output json; } | kata-runtime azure preflight -`,
    ),
    step("the kernel of an ordinary pod is the node's", run("trusted", "")),
    step("that of a pod in a virtual machine is another", run("untrusted", ` --overrides='${overrides}'`)),
  ];
}

function runtimeOf(name: string): AksRuntime {
  const runtime = aksRuntime(name);
  if (runtime !== undefined) return runtime;
  const names = AKS_RUNTIMES.map(({ workloadRuntime }) => workloadRuntime);
  throw invalid("--workload-runtime", name, `one of ${names.join(", ")}${suggestion(name, names)}`);
}

function checkNames({ resourceGroup, cluster, location, addPool, nodes }: PlanRequest): void {
  // Source: Azure resource naming rules, Microsoft.Resources and Microsoft.ContainerService.
  if (!/^[\w().-]{0,89}[\w()-]$/.test(resourceGroup)) {
    throw invalid("--resource-group", resourceGroup, "1 to 90 letters, digits and _-.(), no dot at the end");
  }
  if (!/^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/.test(cluster)) {
    throw invalid("--name", cluster, "1 to 63 letters, digits, _ and -, a letter or digit at both ends");
  }
  if (!/^[a-z][a-z0-9]{0,11}$/.test(addPool ?? "a")) {
    throw invalid("--add-pool", addPool ?? "", "1 to 12 small letters and digits, a letter first");
  }
  if (!/^[a-z][a-z0-9]{0,39}$/.test(location)) {
    throw invalid("--location", location, "small letters and digits, such as westeurope");
  }
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > MAX_NODES) {
    throw invalid("--node-count", String(nodes), `1 to ${MAX_NODES}`);
  }
}

/** For a shell. */
function quote(word: string): string {
  return /^[\w.-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function invalid(flag: string, value: string, hint: string): KataError {
  return new KataError("invalid-argument", {
    operation: "plan",
    object: `${flag} ${JSON.stringify(value.slice(0, 100))}`,
    hint,
  });
}
