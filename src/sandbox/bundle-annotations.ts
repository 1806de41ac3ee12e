/**
 * What upstream's runtime adds to the annotations of every container, and policies bind its id and kind by.
 * Source: upstream's runtime, package vcAnnotations (`io.katacontainers.pkg.oci.*`).
 */
import type { Spec } from "../oci/types.ts";

const PREFIX = "io.katacontainers.pkg.oci";

/** Annotations by which container managers tell what a container is to its pod. */
const TYPES = [
  "io.kubernetes.cri.container-type",
  "io.kubernetes.cri-o.ContainerType",
  "io.kubernetes.docker.type",
];
const SANDBOX_TYPES = new Set(["sandbox", "podsandbox"]);

export type ContainerKind = "single_container" | "pod_sandbox" | "pod_container";

/** What a container is to its pod. */
export function containerKind({ annotations = {} }: Spec): ContainerKind {
  const type = TYPES.map((name) => annotations[name]).find((value) => value !== undefined);
  if (type === undefined) return "single_container";
  return SANDBOX_TYPES.has(type) ? "pod_sandbox" : "pod_container";
}

/** The specification with those annotations. @param bundle the container's directory on the host. */
export function withBundleAnnotations(spec: Spec, bundle: string): Spec {
  return {
    ...spec,
    annotations: {
      ...spec.annotations,
      [`${PREFIX}.bundle_path`]: bundle,
      [`${PREFIX}.container_type`]: containerKind(spec),
    },
  };
}
