/** The requests that a runtime would make for a policy's containers: what the rules must allow, and what tests spoil. */
import { type JsonObject, Node } from "../json.ts";
import type { ContainerPolicy, PolicyData } from "../policy-data.ts";

export const SANDBOX_ID = "5a".repeat(32);
const HASH = "0123456789abcdef";
const SHARED = "/run/kata-containers/shared/containers";

export interface RunningPod {
  readonly name: string;
  readonly namespace: string;
}

/** The data at the end of a policy's text. */
export function policyDataOf(policy: string): PolicyData {
  const marker = "\npolicy_data := ";
  return JSON.parse(policy.slice(policy.lastIndexOf(marker) + marker.length)) as PolicyData;
}

/** An id such as container managers make, different for each index. */
export function containerId(index: number): string {
  return index === 0 ? SANDBOX_ID : `${index}`.padStart(2, "0").repeat(32);
}

/** The request that creates container `index` as the policy has it. */
export function createRequest(data: PolicyData, index: number, pod: RunningPod) {
  const container = data.containers[index];
  if (container === undefined) throw new Error(`the policy has no container ${index}`);
  const id = containerId(index);
  const isSandbox = container.OCI.Annotations["io.kubernetes.cri.container-type"] === "sandbox";
  const common = new Node(data.common, "common");
  const concrete = (pattern: string) => concretePath(pattern, common.at("spath").requiredText(), id);
  const root = concrete(
    container.OCI.Root.Path.replace("$(root_path)", common.at("root_path").requiredText()),
  );
  const volumes = blockVolumes(container);
  const capabilities = (names: readonly string[]) =>
    names.flatMap((name) => {
      const [, set] = /^\$\((.*)\)$/.exec(name) ?? [];
      return set === undefined ? [name] : common.at(set).texts();
    });
  const { Process, Linux } = container.OCI;
  let nextVolume = 0;
  const request = {
    container_id: id,
    exec_id: id,
    string_user: null,
    sandbox_pidns: container.sandbox_pidns,
    shared_mounts: [],
    stdin_port: 0,
    stdout_port: 0,
    stderr_port: 0,
    devices: runtimeDevices(container),
    storages: [
      ...guestPull(data, container, root, isSandbox),
      ...storagesOf(container, volumes, concrete, root),
    ],
    OCI: {
      Version: container.OCI.Version,
      Hooks: null,
      Solaris: null,
      Windows: null,
      Hostname: pod.name,
      Annotations: runtimeAnnotations(container, pod, id, isSandbox),
      Root: { Path: root, Readonly: container.OCI.Root.Readonly },
      Mounts: (container.OCI.Mounts ?? []).map((mount) => ({
        destination: mount.destination,
        type_: mount.type_,
        source: mount.source.includes("$(b64_device_id)")
          ? volumes[nextVolume++]?.mountPoint
          : concrete(mount.source),
        options: [...mount.options],
      })),
      Process: {
        Terminal: Process.Terminal,
        User: structuredClone(Process.User),
        Args: (Process.Args ?? []).map((text) => concreteText(text, pod)),
        Env: (Process.Env ?? []).map((text) => concreteText(text, pod)),
        Cwd: Process.Cwd ?? "",
        Capabilities: Object.fromEntries(
          Object.entries<readonly string[]>({ ...Process.Capabilities }).map(([set, names]) => [
            set,
            capabilities(names),
          ]),
        ),
        NoNewPrivileges: Process.NoNewPrivileges,
        SelinuxLabel: "",
        ApparmorProfile: "",
        OOMScoreAdj: 0,
        Rlimits: [],
      },
      Linux: {
        Namespaces: [...structuredClone(Linux.Namespaces), { Type: "network", Path: "/run/netns/podns" }],
        MaskedPaths: [...Linux.MaskedPaths],
        ReadonlyPaths: [...Linux.ReadonlyPaths],
        Devices: Linux.Devices.map((device) => ({ ...device, Major: 1, Minor: 2 })),
        Sysctl: isSandbox ? { ...Linux.Sysctl } : {},
        UIDMappings: [],
        GIDMappings: [],
        MountLabel: "",
        RootfsPropagation: "",
        Seccomp: null,
        IntelRdt: null,
        Resources: { Devices: [], BlockIO: null, Network: null, Pids: null },
      },
    },
  };
  return request;
}

/** The request that runs a command in container `index`, with its own environment. */
export function execRequest(data: PolicyData, index: number, pod: RunningPod, args: readonly string[]) {
  const { OCI } = createRequest(data, index, pod);
  return {
    container_id: containerId(index),
    exec_id: "exec-1",
    string_user: null,
    process: { ...OCI.Process, Args: [...args], Capabilities: null },
  };
}

interface BlockVolume {
  readonly source: string;
  readonly mountPoint: string;
}

function blockVolumes(container: ContainerPolicy): BlockVolume[] {
  const declared = container.storages.filter((storage) => storage.mount_point.includes("$(b64_device_id)"));
  return declared.map((_, i) => {
    const source = `0${i}/0${i}`;
    const encoded = Buffer.from(source).toString("base64url");
    const padded = encoded.padEnd(Math.ceil(encoded.length / 4) * 4, "=");
    return { source, mountPoint: `/run/kata-containers/sandbox/storage/${padded}` };
  });
}

function guestPull(
  data: PolicyData,
  container: ContainerPolicy,
  root: string,
  isSandbox: boolean,
): JsonObject[] {
  if (new Node(data.cluster_config, "").at("guest_pull").flag() !== true) return [];
  return [
    {
      driver: "image_guest_pull",
      driver_options: ['image_guest_pull={"metadata":{}}'],
      source: isSandbox ? "pause" : (container.OCI.Annotations["io.kubernetes.cri.image-name"] ?? ""),
      fstype: "overlay",
      options: [],
      mount_point: root,
      fs_group: null,
      shared: false,
    },
  ];
}

const LAYER_OPTIONS = ["io.katacontainers.fs-opt.block_device=file", "io.katacontainers.fs-opt.is-layer"];

function storagesOf(
  container: ContainerPolicy,
  volumes: readonly BlockVolume[],
  concrete: (pattern: string) => string,
  root: string,
): JsonObject[] {
  const overlay = container.storages.find((storage) => storage.driver === "overlayfs");
  const ids = overlay?.options[0]?.split(":") ?? [];
  const hashes = overlay?.options[1]?.split(":") ?? [];
  const format =
    container.storages.find(({ mount_point }) => mount_point.startsWith("$(layer"))?.fstype ?? "";
  let volume = 0;
  let layer = 0;
  return container.storages.map((declared) => {
    const common = {
      driver: declared.driver,
      driver_options: [...declared.driver_options],
      fstype: declared.fstype,
      options: [...declared.options],
      fs_group: declared.fs_group,
      shared: declared.shared,
    };
    if (declared.mount_point.includes("$(b64_device_id)")) {
      const { source, mountPoint } = volumes[volume++] ?? { source: "", mountPoint: "" };
      return { ...common, driver: "blk", source, mount_point: mountPoint };
    }
    if (declared.mount_point.endsWith("/changes")) {
      return { ...common, driver: "blk", source: "0a/00", mount_point: declared.mount_point };
    }
    if (declared.mount_point.startsWith("$(layer")) {
      const i = layer++;
      return {
        ...common,
        source: format === "tar" ? `0000:0${i}:01.0` : `0${i}/01`,
        options: ["ro", ...LAYER_OPTIONS, `io.katacontainers.fs-opt.root-hash=${hashes[i]}`],
        mount_point: `/run/kata-containers/sandbox/layers/${ids[i]}`,
      };
    }
    if (declared.driver === "overlayfs") {
      const layers = ids.map((id, i) =>
        Buffer.from(
          [id, format, "ro", ...LAYER_OPTIONS, `io.katacontainers.fs-opt.root-hash=${hashes[i]}`].join(","),
        ).toString("base64"),
      );
      const options = [
        "io.katacontainers.fs-opt.layer-src-prefix=/var/lib/containerd/io.containerd.snapshotter.v1.tardev/layers",
        ...layers.map((text) => `io.katacontainers.fs-opt.layer=${text}`),
        "io.katacontainers.fs-opt.overlay-rw",
        `lowerdir=${ids.join(":")}`,
        ...declared.options.slice(2),
      ];
      return { ...common, source: "none", options, mount_point: root };
    }
    return { ...common, source: concrete(declared.source), mount_point: concrete(declared.mount_point) };
  });
}

function runtimeDevices(container: ContainerPolicy): JsonObject[] {
  let number = 0;
  return container.devices.map((device) => {
    if (device.type_ === "") return { ...device, id: "block-1", type_: "blk", vm_path: "/dev/vdb" };
    const id = number++;
    return {
      ...device,
      id: `vfio${id}`,
      container_path: `${device.container_path}${id}`,
      options: [`0000:0${id}:00.0=0${id}/00`],
    };
  });
}

function runtimeAnnotations(
  container: ContainerPolicy,
  pod: RunningPod,
  id: string,
  isSandbox: boolean,
): JsonObject {
  const own = container.OCI.Annotations;
  const accelerators = container.devices.filter((device) => device.type_ !== "").length;
  return {
    ...Object.fromEntries(Object.entries(own).filter(([, value]) => !value.startsWith("^"))),
    "io.katacontainers.pkg.oci.bundle_path": `/run/containerd/io.containerd.runtime.v2.task/k8s.io/${id}`,
    "io.kubernetes.cri.sandbox-id": SANDBOX_ID,
    "io.kubernetes.cri.sandbox-name": pod.name,
    "io.kubernetes.cri.sandbox-namespace": pod.namespace,
    "io.kubernetes.cri.sandbox-uid": "9c64c5bf-298f-46c4-ad63-e2270a2ff44c",
    ...(isSandbox
      ? {
          "io.kubernetes.cri.sandbox-log-directory": `/var/log/pods/${pod.namespace}_${pod.name}_9c64c5bf-298f-46c4-ad63-e2270a2ff44c`,
          "nerdctl/network-namespace": "/var/run/netns/cni-22190131-6f68-2878-6d7b-418baf176cdf",
        }
      : { "io.kubernetes.container.terminationMessagePath": "/dev/termination-log" }),
    ...Object.fromEntries(
      Array.from({ length: accelerators }, (_, i) => [`cdi.k8s.io/vfio${i}`, `nvidia.com/gpu=${i}`]),
    ),
  };
}

/** A path that fits a pattern of the policy. */
function concretePath(pattern: string, storagePath: string, bundle: string): string {
  const isExpression = pattern.startsWith("^") || pattern.startsWith("$(sfprefix)");
  const expanded = pattern
    .replace("$(sfprefix)", `${SHARED}/$(bundle-id)-${HASH}-`)
    .replace("$(cpath)", SHARED)
    .replace("$(spath)", storagePath)
    .replace("$(sandbox-id)", SANDBOX_ID)
    .replace("$(bundle-id)", bundle);
  return isExpression ? expanded.replace(/^\^|\$$/g, "").replace(/\\(.)/g, "$1") : expanded;
}

const CONCRETE: Readonly<Record<string, string>> = {
  "$(host-name)": "node-1",
  "$(node-name)": "node-1.example.com",
  "$(pod-uid)": "9c64c5bf-298f-46c4-ad63-e2270a2ff44c",
  "$(pod-ip)": "10.244.0.7",
  "$(host-ip)": "fd00::7",
  "$(resource-field)": "2",
  "$(todo-annotation)": "anything\nat all",
};

function concreteText(text: string, pod: RunningPod): string {
  return text.replace(/\$\$|\$\([^)]*\)/g, (reference) => {
    if (reference === "$$") return "$";
    if (reference === "$(sandbox-name)") return pod.name;
    if (reference === "$(sandbox-namespace)") return pod.namespace;
    return CONCRETE[reference] ?? reference;
  });
}
