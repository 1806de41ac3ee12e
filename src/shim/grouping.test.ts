import { expect, test } from "vitest";
import { containerRole } from "./grouping.ts";

test.each([
  [{}, { role: "single" }],
  [{ other: "x" }, { role: "single" }],
  [
    { "io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "p" },
    { role: "sandbox" },
  ],
  [
    { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "p1" },
    { role: "member", sandboxId: "p1" },
  ],
  [
    { "io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.cri-o.SandboxID": "p2" },
    { role: "member", sandboxId: "p2" },
  ],
  [{ "io.kubernetes.docker.type": "podsandbox" }, { role: "sandbox" }],
  [
    { "io.kubernetes.docker.type": "container", "io.kubernetes.sandbox.id": "p3" },
    { role: "member", sandboxId: "p3" },
  ],
] as const)("containerRole(%j)", (annotations, role) => {
  expect(containerRole(annotations)).toEqual(role);
});

test.each([
  [{ "io.kubernetes.cri.container-type": "pod" }, /"sandbox" or "container"/],
  [{ "io.kubernetes.cri.container-type": "container" }, /names its sandbox/],
  [
    { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "../../etc" },
    /an id begins with/,
  ],
])("containerRole(%j) is refused", (annotations, message) => {
  expect(() => containerRole(annotations)).toThrow(message);
});
