import { expect, test } from "vitest";
import type { Spec } from "../../../oci/types.ts";
import { machineAnnotations, type RemoteSettings } from "./machine-annotations.ts";

const SETTINGS: RemoteSettings = {
  service: { socket: "/s", timeoutMs: 1 },
  instanceType: "Standard_D4s_v3",
  image: "/subscriptions/1/images/guest",
  gpus: 2,
  gpuModel: "a100",
  initdata: "H4sI",
};
const SIZE = { vcpus: 3, memoryMib: 2560 };

function spec(annotations: Record<string, string>): Spec {
  return { ociVersion: "1.1.0", annotations };
}

const MACHINE = {
  "io.katacontainers.config.hypervisor.machine_type": "Standard_D4s_v3",
  "io.katacontainers.config.hypervisor.image": "/subscriptions/1/images/guest",
  "io.katacontainers.config.hypervisor.default_vcpus": "3",
  "io.katacontainers.config.hypervisor.default_memory": "2560",
  "io.katacontainers.config.hypervisor.default_gpus": "2",
  "io.katacontainers.config.hypervisor.default_gpu_model": "a100",
  "io.katacontainers.config.hypervisor.cc_init_data": "H4sI",
};

test.each([
  [
    "the pod as containerd names it",
    { "io.kubernetes.cri.sandbox-name": "web", "io.kubernetes.cri.sandbox-namespace": "shop" },
    ["web", "shop"],
  ],
  [
    "the pod as CRI-O names it",
    { "io.kubernetes.cri-o.KubeName": "web", "io.kubernetes.cri-o.Namespace": "shop" },
    ["web", "shop"],
  ],
  ["the sandbox, for a container in no pod", {}, ["sandbox-1", "default"]],
])(
  "machineAnnotations() tell %s, and the machine that is wanted",
  (_what, annotations, [name, namespace]) => {
    const told = machineAnnotations("sandbox-1", spec(annotations), SETTINGS, SIZE);
    expect(Object.fromEntries(told)).toEqual({
      "io.kubernetes.cri.sandbox-name": name,
      "io.kubernetes.cri.sandbox-namespace": namespace,
      ...MACHINE,
    });
  },
);
