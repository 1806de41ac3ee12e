/** Which network a pod has, by its specification. Source: OCI runtime specification, "Namespaces". */
import { KataError } from "../../kata-error.ts";
import type { Spec } from "../../oci/types.ts";

export type NetworkChoice =
  /** Nothing but loopback in the guest. */
  | { readonly kind: "loopback" }
  /** A namespace of the sandbox's own, which somebody may put links into while it lives. */
  | { readonly kind: "new" }
  /** The devices that this file describes. */
  | { readonly kind: "described"; readonly file: string }
  /** Left as it is on this host: who makes the machine leads the network of this namespace to it, if the pod has one. */
  | { readonly kind: "left"; readonly path: string | undefined }
  /** Whatever is in the network namespace of this file. */
  | { readonly kind: "namespace"; readonly path: string };

export interface NetworkOptions {
  /** `disable_new_netns`: the monitor stays in the shim's network namespace, and the guest has no interface. */
  readonly disableNewNamespace: boolean;
  /** The file that describes the pod's devices, if there is one. It takes the place of a namespace. */
  readonly description: string | undefined;
  /** The machine runs somewhere else. */
  readonly isElsewhere?: boolean;
  /** Whether a file is the network namespace of the host itself. */
  readonly isHostNamespace: (path: string) => boolean;
}

/** @throws KataError `unsupported` for a pod that asks for the host's network. */
export function chooseNetwork(spec: Spec, options: NetworkOptions): NetworkChoice {
  const namespace = spec.linux?.namespaces?.find(({ type }) => type === "network");
  const path = namespace?.path ?? "";
  if (options.isElsewhere === true) {
    if (namespace === undefined || (path !== "" && options.isHostNamespace(path))) throw hostNetwork();
    return { kind: "left", path: path === "" ? undefined : path };
  }
  if (options.description !== undefined) return { kind: "described", file: options.description };
  if (options.disableNewNamespace) return { kind: "loopback" };
  if (namespace !== undefined && path === "") return { kind: "new" };
  if (namespace === undefined || options.isHostNamespace(path)) throw hostNetwork();
  return { kind: "namespace", path };
}

function hostNetwork(): KataError {
  return new KataError("unsupported", {
    operation: "set up network",
    object: "the host's network was asked for",
    hint: "a virtual machine has a network of its own, start the container without host networking",
  });
}
