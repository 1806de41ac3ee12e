import { expect, test } from "vitest";
import { withBundleAnnotations } from "./bundle-annotations.ts";

test.each([
  [{}, "single_container"],
  [{ "io.kubernetes.cri.container-type": "sandbox" }, "pod_sandbox"],
  [{ "io.kubernetes.docker.type": "podsandbox" }, "pod_sandbox"],
  [{ "io.kubernetes.cri-o.ContainerType": "container" }, "pod_container"],
])(
  "withBundleAnnotations() tells what a container with %j is, whatever it says itself",
  (annotations, kind) => {
    const claimed = { ...annotations, "io.katacontainers.pkg.oci.container_type": "x" };
    expect(withBundleAnnotations({ ociVersion: "1.2.0", annotations: claimed }, "/run/b/c")).toEqual({
      ociVersion: "1.2.0",
      annotations: {
        ...annotations,
        "io.katacontainers.pkg.oci.bundle_path": "/run/b/c",
        "io.katacontainers.pkg.oci.container_type": kind,
      },
    });
  },
);
