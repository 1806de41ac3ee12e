import { expect, test } from "vitest";
import { describeForeignPod, describePod } from "./pod-description.ts";

test("describePod() reads what our shim tells, with the pod's names in Kubernetes", () => {
  const pod = describePod("id1", {
    sandbox: {
      id: "id1",
      hypervisor: "qemu",
      startedAt: 5,
      vcpus: 1.5,
      memoryMib: 256,
      processes: [{ name: "QEMU", pid: 7 }],
      networkNamespace: "/run/netns/x",
      annotations: {
        "io.kubernetes.cri.sandbox-name": "web\x1b[2J",
        "io.kubernetes.cri.sandbox-namespace": "default",
      },
    },
    shim: { pid: 6, version: "1.0" },
    containers: [{ id: "c1", bundle: "/b", state: "stopped", exitStatus: 3 }],
  });
  expect(pod).toMatchObject({
    id: "id1",
    state: "running",
    name: "web?[2J",
    namespace: "default",
    hypervisor: "qemu",
    vcpus: 1.5,
    shimPid: 6,
    processes: [{ name: "QEMU", pid: 7 }],
    containers: [{ id: "c1", bundle: "/b", state: "stopped", exitStatus: 3 }],
    agentUrl: "",
  });
  expect(pod.details).toMatchObject({ networkNamespace: "/run/netns/x" });
});

test.each([undefined, null, 1, "x", [], { sandbox: [], containers: [1, null], shim: "x" }])(
  "describePod() makes something of %j",
  (value) => {
    expect(describePod("id1", value)).toMatchObject({ id: "id1", hypervisor: "", shimPid: 0 });
  },
);

test("describeForeignPod() reads the state of upstream's runtime", () => {
  const persisted = {
    State: "running",
    SandboxContainer: "id1",
    HypervisorState: { Type: "qemu", Pid: 41, VirtiofsDaemonPid: 42 },
    AgentState: { URL: "vsock://7:1024" },
  };
  expect(describeForeignPod("id1", persisted, true)).toMatchObject({
    state: "running",
    hypervisor: "qemu",
    agentUrl: "vsock://7:1024",
    processes: [
      { name: "qemu", pid: 41 },
      { name: "virtiofsd", pid: 42 },
    ],
    containers: [{ id: "id1" }],
  });
  expect(describeForeignPod("id1", undefined, false)).toMatchObject({
    state: "unreachable",
    processes: [],
    details: {},
  });
});
