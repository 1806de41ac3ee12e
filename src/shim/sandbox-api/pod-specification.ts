/**
 * What a sandbox is to be, told as the specification of a first container: the form in which everything that boots a machine
 * takes it, whether containerd has brought a pause container or asks for the sandbox itself.
 *
 * Sources: Kubernetes CRI, PodSandboxConfig; containerd's CRI plug-in, annotations of sandbox containers.
 */
import { KataError } from "../../kata-error.ts";
import type { Mount, Namespace, Spec } from "../../oci/types.ts";
import { messageName, type PackedMessage } from "../any-type.ts";
import { decodePodSandboxConfig, type PodSandboxConfig } from "../generated.ts";

/** As CreateSandbox brings it. */
export interface SandboxDescription {
  readonly id: string;
  /** The pod's configuration; clients other than Kubernetes' bring none. */
  readonly options: PackedMessage | undefined;
  /** Of the pod's network; empty if it has none. */
  readonly networkNamespace: string;
  readonly annotations: ReadonlyMap<string, string>;
}

const CONFIG_TYPE = "runtime.v1.PodSandboxConfig";
const PREFIX = "io.kubernetes.cri";

/** @throws KataError `malformed-message` for what is no message; undefined for options of another type. */
export function podConfigOf(options: PackedMessage | undefined): PodSandboxConfig | undefined {
  if (options === undefined || messageName(options.typeUrl) !== CONFIG_TYPE) return undefined;
  return decodePodSandboxConfig(options.value);
}

/** The specification that the pod's pause container would have, without a program. */
export function podSpecification(
  description: SandboxDescription,
  config = podConfigOf(description.options),
): Spec {
  const { id, networkNamespace } = description;
  const cgroupParent = config?.linux?.cgroupParent ?? "";
  const sysctl = Object.fromEntries(config?.linux?.sysctls ?? []);
  return {
    ociVersion: "1.0.2",
    ...(config === undefined || config.hostname === "" ? {} : { hostname: config.hostname }),
    annotations: {
      ...Object.fromEntries(description.annotations),
      ...Object.fromEntries(config?.annotations ?? []),
      ...kubernetesAnnotations(id, config),
    },
    linux: {
      namespaces: [networkOf(networkNamespace, config)].flat(),
      sysctl,
      ...(cgroupParent === "" ? {} : { cgroupsPath: cgroupsPath(cgroupParent, id) }),
    },
  };
}

/** @returns nothing for a pod that wants the host's network, as its specification would have it. */
function networkOf(path: string, config: PodSandboxConfig | undefined): Namespace[] {
  if (path !== "") return [{ type: "network", path }];
  const NODE = 2;
  const wantsHost = config?.linux?.securityContext?.namespaceOptions?.network === NODE;
  return wantsHost ? [] : [{ type: "network" }];
}

/** Nobody but the container manager says these, so they overrule what the pod says of itself. */
function kubernetesAnnotations(id: string, config: PodSandboxConfig | undefined): Record<string, string> {
  const { metadata, linux, logDirectory = "" } = config ?? {};
  const { cpuPeriod, cpuQuota, cpuShares, memoryLimitInBytes } = linux?.resources ?? {};
  const texts = {
    "container-type": "sandbox",
    "sandbox-id": id,
    "sandbox-name": metadata?.name,
    "sandbox-namespace": metadata?.namespace,
    "sandbox-uid": metadata?.uid,
    "sandbox-log-directory": logDirectory === "" ? undefined : logDirectory,
    "sandbox-cpu-period": cpuPeriod?.toString(),
    "sandbox-cpu-quota": cpuQuota?.toString(),
    "sandbox-cpu-shares": cpuShares?.toString(),
    "sandbox-memory": memoryLimitInBytes?.toString(),
  };
  return Object.fromEntries(
    Object.entries(texts).flatMap(([name, value]) =>
      value === undefined ? [] : [[`${PREFIX}.${name}`, value]],
    ),
  );
}

/** As containerd's CRI names the cgroup of a pause container. */
function cgroupsPath(parent: string, id: string): string {
  const last = parent.slice(parent.lastIndexOf("/") + 1);
  return last.endsWith(".slice") ? `${last}:cri-containerd:${id}` : `${parent}/${id}`;
}

/**
 * The specification of a container in such a sandbox, complete: with the pod's sysctls, which a pause container would have set,
 * and its `files`, which containerd makes and mounts for pods with a pause container alone.
 */
export function memberSpecification(spec: Spec, pod: Spec, files: PodFiles | undefined): Spec {
  const sysctl = { ...pod.linux?.sysctl, ...spec.linux?.sysctl };
  return {
    ...spec,
    ...(files === undefined ? {} : { mounts: withPodFiles(spec, files) }),
    ...(spec.linux === undefined ? {} : { linux: { ...spec.linux, sysctl } }),
  };
}

/** A pod's own files on the host. */
export interface PodFiles {
  readonly isFile: (path: string) => boolean;
  /** By their places in containers, such as `/etc/hosts`. */
  readonly paths: ReadonlyMap<string, string>;
}

/** containerd 1.7 makes directories of that name in their place; 2.1 leaves them out. */
function withPodFiles({ mounts = [], root }: Spec, { isFile, paths }: PodFiles): Mount[] {
  const present = mounts.map((mount) => {
    const path = paths.get(mount.destination);
    return path === undefined || isFile(mount.source ?? "") ? mount : { ...mount, source: path };
  });
  const missing = [...paths].filter(([place]) => !mounts.some(({ destination }) => destination === place));
  const options = ["rbind", "rprivate", root?.readonly === true ? "ro" : "rw"];
  return [
    ...present,
    ...missing.map(([destination, source]) => ({ destination, type: "bind", source, options })),
  ];
}

/** @throws KataError `not-found` unless `id` is the sandbox of this shim. */
export function checkSandbox(own: string | undefined, id: string): void {
  if (own === id) return;
  throw new KataError("not-found", {
    operation: "find sandbox",
    object: id,
    hint: own === undefined ? "this shim has none yet" : `this shim serves the sandbox ${own}`,
  });
}
