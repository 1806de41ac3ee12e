/**
 * The specification as the shim gets it: an engine's bundle is not the shim's, and pods are told otherwise.
 * Source: OCI runtime specification, "Root", "Mounts" (relative paths are the bundle's).
 */
import type { Mount, Namespace, Spec } from "../../oci/types.ts";
import { isAbsolute, joinPath } from "../../sandbox/path.ts";

export interface SpecSurroundings {
  /** Absolute. */
  readonly bundle: string;
  /** The file of the network namespace that the container's machine is to have the interfaces of; undefined to leave it. */
  readonly networkNamespace?: string | undefined;
  /** The container whose virtual machine this one joins. */
  readonly sandboxId?: string | undefined;
}

/** How an engine says what a container is to its pod; only one way is left in the specification. */
const POD_ANNOTATIONS = [
  "io.kubernetes.cri.container-type",
  "io.kubernetes.cri.sandbox-id",
  "io.kubernetes.cri-o.ContainerType",
  "io.kubernetes.cri-o.SandboxID",
  "io.kubernetes.docker.type",
  "io.kubernetes.sandbox.id",
];

/** @returns the specification with absolute paths, without the hooks that the command line itself runs, its network, and the sandbox it belongs to. `spec` itself is not changed. */
export function prepareSpec(spec: Spec, surroundings: SpecSurroundings): Spec {
  const { bundle, networkNamespace, sandboxId } = surroundings;
  const { hooks, ...rest } = spec;
  const { root, mounts, linux } = rest;
  const { startContainer = [] } = hooks ?? {};
  return {
    ...rest,
    ...(startContainer.length === 0 ? {} : { hooks: { startContainer } }),
    ...(root === undefined ? {} : { root: { ...root, path: absolute(bundle, root.path) } }),
    ...(mounts === undefined ? {} : { mounts: mounts.map((mount) => withAbsoluteSource(bundle, mount)) }),
    annotations: podAnnotations(spec.annotations ?? {}, sandboxId),
    ...(linux === undefined || networkNamespace === undefined
      ? {}
      : { linux: { ...linux, namespaces: withNetwork(linux.namespaces ?? [], networkNamespace) } }),
  };
}

/** `path` as seen from `directory`, without `.` and doubled slashes; `..` stays, as what is before it may be a link. */
export function absolute(directory: string, path: string): string {
  const joined = isAbsolute(path) ? path : joinPath(directory, path);
  return `/${joined
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/")}`;
}

export function isBind({ type, options = [] }: Mount): boolean {
  return type === "bind" || options.includes("bind") || options.includes("rbind");
}

function withAbsoluteSource(bundle: string, mount: Mount): Mount {
  const { source = "" } = mount;
  return isBind(mount) && source !== "" ? { ...mount, source: absolute(bundle, source) } : mount;
}

function podAnnotations(
  annotations: Readonly<Record<string, string>>,
  sandboxId: string | undefined,
): Record<string, string> {
  const kept = Object.entries(annotations).filter(([name]) => !POD_ANNOTATIONS.includes(name));
  const membership =
    sandboxId === undefined
      ? []
      : [
          ["io.kubernetes.cri-o.ContainerType", "container"],
          ["io.kubernetes.cri-o.SandboxID", sandboxId],
        ];
  return Object.fromEntries([...kept, ...membership]);
}

function withNetwork(namespaces: readonly Namespace[], path: string): Namespace[] {
  return namespaces.map((each) => (each.type === "network" ? { ...each, path } : each));
}
