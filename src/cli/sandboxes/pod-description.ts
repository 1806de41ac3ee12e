/**
 * What a shim tells of its pod (`GET /pod`), and what is known of one that does not: a shim of upstream's, or one that does not
 * answer. All of it comes from outside of this process, and is checked.
 */

export interface PodDescription {
  readonly id: string;
  /** `running`; `unreachable` if no shim answers for it. */
  readonly state: string;
  /** Of the pod in Kubernetes; empty if it is none. */
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly hypervisor: string;
  /** Milliseconds since 1970; 0 if it is not known. */
  readonly startedAt: number;
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly agentUrl: string;
  readonly shimPid: number;
  readonly shimVersion: string;
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
  readonly containers: readonly ContainerDescription[];
  /** Everything else that was told, for `inspect`. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface ContainerDescription {
  readonly id: string;
  readonly bundle: string;
  readonly state: string;
  readonly exitStatus?: number;
}

/** What annotations call a pod, by container manager: containerd, CRI-O. */
const NAMES = ["io.kubernetes.cri.sandbox-name", "io.kubernetes.cri-o.KubeName", "io.kubernetes.pod.name"];
const NAMESPACES = [
  "io.kubernetes.cri.sandbox-namespace",
  "io.kubernetes.cri-o.Namespace",
  "io.kubernetes.pod.namespace",
];
const UIDS = ["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"];

type Json = Readonly<Record<string, unknown>>;

/** @param value the answer of our shim. */
export function describePod(id: string, value: unknown): PodDescription {
  const { sandbox, shim, containers } = objectOf(value);
  const told = objectOf(sandbox);
  const annotations = objectOf(told.annotations);
  const first = (keys: readonly string[]) =>
    textOf(keys.map((key) => annotations[key]).find((text) => text !== undefined));
  const { startedAt, vcpus, memoryMib, processes, hypervisor, agentUrl, id: _id, ...details } = told;
  return {
    id,
    state: "running",
    name: first(NAMES),
    namespace: first(NAMESPACES),
    uid: first(UIDS),
    hypervisor: textOf(hypervisor),
    startedAt: numberOf(startedAt),
    vcpus: numberOf(vcpus),
    memoryMib: numberOf(memoryMib),
    agentUrl: textOf(agentUrl),
    shimPid: numberOf(objectOf(shim).pid),
    shimVersion: textOf(objectOf(shim).version),
    processes: listOf(processes).map((each) => ({ name: textOf(each.name), pid: numberOf(each.pid) })),
    containers: listOf(containers).map((each) => ({
      id: textOf(each.id),
      bundle: textOf(each.bundle),
      state: textOf(each.state),
      ...(typeof each.exitStatus === "number" ? { exitStatus: each.exitStatus } : {}),
    })),
    details,
  };
}

/** @param persisted `persist.json` of upstream's runtime in Go, parsed; undefined if there is none. */
export function describeForeignPod(id: string, persisted: unknown, reachable: boolean): PodDescription {
  const told = objectOf(persisted);
  const hypervisor = objectOf(told.HypervisorState);
  const processes = [
    { name: textOf(hypervisor.Type), pid: numberOf(hypervisor.Pid) },
    { name: "virtiofsd", pid: numberOf(hypervisor.VirtiofsDaemonPid) },
  ].filter(({ pid }) => pid > 0);
  return {
    id,
    state: reachable ? textOf(told.State) || "running" : "unreachable",
    name: "",
    namespace: "",
    uid: "",
    hypervisor: textOf(hypervisor.Type),
    startedAt: 0,
    vcpus: 0,
    memoryMib: 0,
    agentUrl: textOf(objectOf(told.AgentState).URL),
    shimPid: 0,
    shimVersion: "",
    processes,
    containers:
      textOf(told.SandboxContainer) === ""
        ? []
        : [{ id: textOf(told.SandboxContainer), bundle: "", state: "" }],
    details: persisted === undefined ? {} : { persist: told },
  };
}

function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function listOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(objectOf) : [];
}

/** Without what a terminal would take for a command. */
function textOf(value: unknown): string {
  return typeof value === "string" ? value.replace(/[\0-\x1f\x7f]/g, "?") : "";
}

function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
