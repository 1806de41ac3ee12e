/**
 * What a remote hypervisor is told of a machine: annotations by the names that pods have them under.
 * Sources: upstream's runtimes, remote hypervisor; the cloud API adaptor, which needs a pod's name and namespace.
 */
import type { Spec } from "../../../oci/types.ts";
import type { MachineSize } from "../../resources/sizing.ts";
import type { RemoteService } from "./remote-service.ts";

/** What a configuration says of the machines of a remote hypervisor. */
export interface RemoteSettings {
  readonly service: RemoteService;
  /** The cloud's name for the kind of machine; empty: the service chooses. */
  readonly instanceType: string;
  /** The cloud's name of the guest's disk; empty: the service's own. */
  readonly image: string;
  readonly gpus: number;
  readonly gpuModel: string;
  /** Base64 of gzip of TOML; empty for none. */
  readonly initdata: string;
}

const HYPERVISOR = "io.katacontainers.config.hypervisor.";
/** Of containerd, and of CRI-O. */
const POD_NAME = ["io.kubernetes.cri.sandbox-name", "io.kubernetes.cri-o.KubeName"];
const POD_NAMESPACE = ["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri-o.Namespace"];
/** Of a container that is in no pod. */
const NO_NAMESPACE = "default";

/** @param id of the sandbox, which stands for the name of a pod that has none. */
export function machineAnnotations(
  id: string,
  { annotations = {} }: Spec,
  settings: RemoteSettings,
  size: MachineSize,
): ReadonlyMap<string, string> {
  const first = (names: readonly string[]) =>
    names.map((name) => annotations[name] ?? "").find((value) => value !== "");
  return new Map([
    ["io.kubernetes.cri.sandbox-name", first(POD_NAME) ?? id],
    ["io.kubernetes.cri.sandbox-namespace", first(POD_NAMESPACE) ?? NO_NAMESPACE],
    [`${HYPERVISOR}machine_type`, settings.instanceType],
    [`${HYPERVISOR}image`, settings.image],
    [`${HYPERVISOR}default_vcpus`, String(size.vcpus)],
    [`${HYPERVISOR}default_memory`, String(size.memoryMib)],
    [`${HYPERVISOR}default_gpus`, String(settings.gpus)],
    [`${HYPERVISOR}default_gpu_model`, settings.gpuModel],
    [`${HYPERVISOR}cc_init_data`, settings.initdata],
  ]);
}
