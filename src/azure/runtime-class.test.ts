import { describe, expect, test } from "vitest";
import { runtimeClassFaults } from "./runtime-class.ts";

const GOOD = {
  apiVersion: "node.k8s.io/v1",
  kind: "RuntimeClass",
  metadata: { name: "kata", labels: { "kubernetes.io/cluster-service": "true" } },
  handler: "kata",
  overhead: { podFixed: { memory: "600Mi", cpu: "250m" } },
  scheduling: {
    nodeSelector: { "kubernetes.azure.com/kata-vm-isolation": "true" },
    tolerations: [{ key: "kata", operator: "Exists", effect: "NoSchedule" }],
  },
};

describe("runtimeClassFaults()", () => {
  test("finds none in a class that a server takes", () => {
    expect(runtimeClassFaults(GOOD)).toEqual([]);
    const { overhead: _, scheduling: __, ...least } = GOOD;
    expect(runtimeClassFaults(least)).toEqual([]);
  });

  test.each<[object, string]>([
    [{ apiVersion: "node.k8s.io/v1beta1" }, "apiVersion: is not node.k8s.io/v1"],
    [{ kind: "Pod" }, "kind: is not RuntimeClass"],
    [{ metadata: undefined }, "metadata: is required"],
    [{ metadata: { name: "Kata" } }, "metadata.name: is no lower-case DNS name"],
    [{ metadata: { name: "kata", namespace: "x" } }, "metadata.namespace: unknown field"],
    [{ metadata: { name: "kata", labels: { a: true } } }, "metadata.labels[a]: is no text"],
    [{ handler: "kata_qemu" }, "handler: is no lower-case DNS label"],
    [{ handler: undefined }, "handler: is no lower-case DNS label"],
    [{ runtimeHandler: "kata" }, "runtimeHandler: unknown field"],
    [{ overhead: { podFixed: { memory: "600mb" } } }, 'overhead.podFixed[memory]: does not take "600mb"'],
    [{ overhead: { podFixed: { memory: "-1Mi" } } }, 'overhead.podFixed[memory]: does not take "-1Mi"'],
    [{ overhead: { memory: "600Mi" } }, "overhead.memory: unknown field"],
    [
      { scheduling: { nodeSelector: { "a/b/c": "x" } } },
      "scheduling.nodeSelector[a/b/c]: is no qualified name",
    ],
    [{ scheduling: { nodeSelector: { a: "x y" } } }, 'scheduling.nodeSelector[a]: does not take "x y"'],
    [{ scheduling: { nodeSelector: [] } }, "scheduling.nodeSelector: is no object"],
    [
      { scheduling: { tolerations: [{ operator: "In" }] } },
      "scheduling.tolerations[0].operator: is neither Equal nor Exists",
    ],
    [
      { scheduling: { tolerations: [{ effect: "Never" }] } },
      "scheduling.tolerations[0].effect: is no effect",
    ],
  ])("finds the fault of %j", (changes, fault) => {
    expect(runtimeClassFaults({ ...GOOD, ...changes })).toEqual([fault]);
  });

  test.each([[null], ["text"], [[]]])("takes %j for no class", (value) => {
    expect(runtimeClassFaults(value)).toEqual(["a RuntimeClass is an object"]);
  });
});
