import { describe, expect, test } from "vitest";
import type { Namespace, Spec } from "../../oci/types.ts";
import { joinedSandbox, type RunningContainer } from "./shared-machine.ts";

const RUNNING: readonly RunningContainer[] = [
  { directory: { root: "/r", id: "infra", path: "/r/infra" }, pid: 11, sandboxId: "infra" },
  { directory: { root: "/r", id: "member", path: "/r/member" }, pid: 12, sandboxId: "infra" },
  { directory: { root: "/r", id: "other", path: "/r/other" }, pid: 13, sandboxId: "other" },
];

const NAMESPACES: Readonly<Record<string, string>> = {
  "/proc/self/ns/net": "host",
  "/proc/11/ns/net": "pod",
  "/proc/12/ns/net": "pod",
  "/proc/13/ns/net": "other",
  "/run/netns/pod": "pod",
  "/run/netns/host": "host",
  "/run/netns/free": "free",
};

function specWith(...namespaces: Namespace[]): Spec {
  return { ociVersion: "1.2.0", linux: { namespaces } };
}

describe("joinedSandbox()", () => {
  test.each<[string, Namespace[], string | undefined]>([
    ["new namespaces", [{ type: "network" }, { type: "pid" }], undefined],
    ["none", [], undefined],
    ["the network of a first container", [{ type: "network", path: "/proc/11/ns/net" }], "infra"],
    ["the network of a member", [{ type: "network", path: "/proc/12/ns/net" }], "infra"],
    [
      "the ipc namespace of a container",
      [{ type: "network" }, { type: "ipc", path: "/proc/13/ns/ipc" }],
      "other",
    ],
    ["a file of the same network", [{ type: "network", path: "/run/netns/pod" }], "infra"],
    ["a network of its own", [{ type: "network", path: "/run/netns/free" }], undefined],
    ["the host's network", [{ type: "network", path: "/run/netns/host" }], undefined],
    ["a network that is gone", [{ type: "network", path: "/run/netns/gone" }], undefined],
    ["a process that is no container's", [{ type: "pid", path: "/proc/1/ns/pid" }], undefined],
  ])("of a container with %s", (_, namespaces, expected) => {
    expect(joinedSandbox(specWith(...namespaces), RUNNING, (path) => NAMESPACES[path])).toBe(expected);
  });
});
