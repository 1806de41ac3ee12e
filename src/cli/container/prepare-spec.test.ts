import { describe, expect, test } from "vitest";
import type { Spec } from "../../oci/types.ts";
import { absolute, prepareSpec } from "./prepare-spec.ts";

const SPEC: Spec = {
  ociVersion: "1.2.0",
  root: { path: "rootfs", readonly: true },
  mounts: [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/data", source: "data/here", options: ["rbind", "ro"] },
    { destination: "/etc/hosts", type: "bind", source: "/run/hosts" },
  ],
  annotations: {
    "org.example": "kept",
    "io.kubernetes.cri-o.ContainerType": "container",
    "io.kubernetes.cri-o.SandboxID": "the id of Podman's pod, which is no container's",
  },
  linux: { namespaces: [{ type: "pid" }, { type: "network" }] },
};

describe("prepareSpec()", () => {
  test("names root and bind sources by their place on the host, and makes a container without a pod of its own", () => {
    const hook = [{ path: "/bin/true" }];
    const hooks = { prestart: hook, startContainer: hook, poststop: hook };
    expect(prepareSpec({ ...SPEC, hooks }, { bundle: "/b" })).toEqual({
      ...SPEC,
      root: { path: "/b/rootfs", readonly: true },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/data", source: "/b/data/here", options: ["rbind", "ro"] },
        { destination: "/etc/hosts", type: "bind", source: "/run/hosts" },
      ],
      annotations: { "org.example": "kept" },
      // The others are run by the command line itself.
      hooks: { startContainer: hook },
    });
  });

  test("tells the sandbox and the network namespace that it is given", () => {
    const { annotations, linux } = prepareSpec(SPEC, {
      bundle: "/b",
      networkNamespace: "/run/x/netns",
      sandboxId: "infra",
    });
    expect({ annotations, linux }).toEqual({
      annotations: {
        "org.example": "kept",
        "io.kubernetes.cri-o.ContainerType": "container",
        "io.kubernetes.cri-o.SandboxID": "infra",
      },
      linux: { namespaces: [{ type: "pid" }, { type: "network", path: "/run/x/netns" }] },
    });
  });
});

test.each([
  ["/a", ".", "/a"],
  ["/a/", "./b//c", "/a/b/c"],
  ["/a", "/b/./c/", "/b/c"],
  ["/a", "../b", "/a/../b"],
])("absolute(%j, %j) is %j", (directory, path, expected) => {
  expect(absolute(directory, path)).toBe(expected);
});
