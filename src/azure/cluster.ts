/** A cluster as `az aks show`, `az aks nodepool show|list` and `kubectl get … -o json` tell it. */
import { KataError } from "../kata-error.ts";
import { at, isObject, listAt, textAt, textsAt } from "./foreign.ts";

export interface NodePool {
  readonly name: string;
  readonly size: string;
  readonly osSku: string;
  readonly osType: string;
  readonly workloadRuntime: string;
  readonly nodeImage: string;
  readonly kubernetes: string;
  readonly state: string;
}

export interface ClusterNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly kernel: string;
  readonly architecture: string;
  readonly containerRuntime: string;
  readonly ready: boolean;
  /** Kubernetes' quantity. */
  readonly allocatableMemory: string;
}

export interface PodContainer {
  readonly name: string;
  /** Kubernetes' quantities; empty without a limit. */
  readonly memory: string;
  readonly cpu: string;
  readonly privileged: boolean;
}

export interface ClusterPod {
  readonly name: string;
  readonly runtimeClass: string;
  readonly hostNetwork: boolean;
  readonly containers: readonly PodContainer[];
}

export interface Cluster {
  readonly pools: readonly NodePool[];
  readonly nodes: readonly ClusterNode[];
  /** As they came: they are judged by their schema. */
  readonly runtimeClasses: readonly unknown[];
  readonly pods: readonly ClusterPod[];
  /** What was there to read, so that what is missing is not taken for empty. */
  readonly told: ReadonlySet<"pools" | "nodes" | "runtimeClasses" | "pods">;
}

/**
 * What several documents tell of a cluster; each kind is recognised by its fields.
 *
 * @throws KataError `invalid-argument` for a document that is none of them.
 */
export function parseCluster(
  documents: readonly { readonly name: string; readonly value: unknown }[],
): Cluster {
  const pools = new Map<string, NodePool>();
  const nodes: ClusterNode[] = [];
  const runtimeClasses: unknown[] = [];
  const pods: ClusterPod[] = [];
  const told = new Set<"pools" | "nodes" | "runtimeClasses" | "pods">();
  const take = (value: unknown, name: string, depth = 0): void => {
    if (depth > MAX_NESTING) refuse(name);
    const kind = textAt(value, "kind");
    if (kind.endsWith("List") || (kind === "" && Array.isArray(at(value, "items")))) {
      if (kind === "NodeList") told.add("nodes");
      if (kind === "RuntimeClassList") told.add("runtimeClasses");
      if (kind === "PodList") told.add("pods");
      for (const item of listAt(value, "items")) take(item, name, depth + 1);
    } else if (kind === "Node") {
      told.add("nodes");
      nodes.push(parseNode(value));
    } else if (kind === "RuntimeClass") {
      told.add("runtimeClasses");
      runtimeClasses.push(value);
    } else if (kind === "Pod") {
      told.add("pods");
      pods.push(parsePod(value));
    } else if (Array.isArray(at(value, "agentPoolProfiles"))) {
      const version = textAt(value, "currentKubernetesVersion") || textAt(value, "kubernetesVersion");
      for (const pool of listAt(value, "agentPoolProfiles")) addPool(pool, version);
    } else if (Array.isArray(value)) {
      for (const each of value) take(each, name, depth + 1);
    } else if (isObject(value) && textAt(value, "vmSize") !== "") {
      addPool(value, "");
    } else {
      refuse(name);
    }
  };
  const addPool = (value: unknown, kubernetes: string) => {
    told.add("pools");
    const pool = parsePool(value, kubernetes);
    pools.set(pool.name, pool);
  };
  for (const { name, value } of documents) take(value, name);
  return { pools: [...pools.values()], nodes, runtimeClasses, pods, told };
}

/** Lists in lists: kubectl writes one list, az one. */
const MAX_NESTING = 4;

function refuse(name: string): never {
  throw new KataError("invalid-argument", {
    operation: "read cluster",
    object: name,
    hint: "expected the JSON of az aks show, az aks nodepool show|list or kubectl get nodes,runtimeclasses,pods -o json",
  });
}

/** @param kubernetes version of the cluster, where the pool does not tell its own. */
function parsePool(value: unknown, kubernetes: string): NodePool {
  return {
    name: textAt(value, "name"),
    size: textAt(value, "vmSize"),
    osSku: textAt(value, "osSku") || textAt(value, "osSKU"),
    osType: textAt(value, "osType"),
    workloadRuntime: textAt(value, "workloadRuntime"),
    nodeImage: textAt(value, "nodeImageVersion"),
    kubernetes:
      textAt(value, "currentOrchestratorVersion") || textAt(value, "orchestratorVersion") || kubernetes,
    state: textAt(value, "provisioningState"),
  };
}

function parseNode(value: unknown): ClusterNode {
  const info = at(value, "status", "nodeInfo");
  const ready = listAt(value, "status", "conditions").find((each) => textAt(each, "type") === "Ready");
  return {
    name: textAt(value, "metadata", "name"),
    labels: textsAt(value, "metadata", "labels"),
    kernel: textAt(info, "kernelVersion"),
    architecture: textAt(info, "architecture"),
    containerRuntime: textAt(info, "containerRuntimeVersion"),
    ready: textAt(ready, "status") === "True",
    allocatableMemory: textAt(value, "status", "allocatable", "memory"),
  };
}

function parsePod(value: unknown): ClusterPod {
  const spec = at(value, "spec");
  const namespace = textAt(value, "metadata", "namespace");
  const name = textAt(value, "metadata", "name") || textAt(value, "metadata", "generateName");
  return {
    name: namespace === "" ? name : `${namespace}/${name}`,
    runtimeClass: textAt(spec, "runtimeClassName"),
    hostNetwork: at(spec, "hostNetwork") === true,
    containers: listAt(spec, "containers").map((each) => ({
      name: textAt(each, "name"),
      memory: quantityAt(each, "memory"),
      cpu: quantityAt(each, "cpu"),
      privileged: at(each, "securityContext", "privileged") === true,
    })),
  };
}

/** A limit; the API takes numbers as well as texts. */
function quantityAt(container: unknown, resource: string): string {
  const limit = at(container, "resources", "limits", resource);
  return typeof limit === "number" ? String(limit) : typeof limit === "string" ? limit : "";
}
