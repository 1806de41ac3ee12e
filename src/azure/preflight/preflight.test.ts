import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseCluster } from "../cluster.ts";
import { parseDocuments } from "../json-documents.ts";
import { preflight } from "./preflight.ts";
import type { Finding } from "./types.ts";

const read = (name: string) =>
  readFileSync(new URL(`../../../tests/fixtures/azure/${name}`, import.meta.url), "utf8");
const AKS = read("aks-show.json");
const NODES = read("nodes-runtimeclasses.json");

/** The report about documents as text, and about pods. */
function report(texts: readonly string[], strict = false) {
  const documents = texts.flatMap((text) => parseDocuments(text, "f").map((value) => ({ name: "f", value })));
  return preflight(parseCluster(documents), strict);
}

const bad = (findings: readonly Finding[]) =>
  findings
    .filter(({ verdict }) => verdict === "failed" || verdict === "warning")
    .map(({ object, rule, verdict }) => `${verdict} ${object}: ${rule}`);

describe("preflight() of the cluster that an operator noted down in April 2025", () => {
  test("finds all of it in order, but an overhead that is not counted", () => {
    const { passed, findings } = report([AKS, NODES]);
    expect(passed).toBe(true);
    expect(bad(findings)).toEqual(["warning runtimeclass kata-mshv-vm-isolation: overhead"]);
    expect(
      findings
        .filter(({ verdict }) => verdict === "ok")
        .map(({ object, rule, detail }) => [object, rule, detail]),
    ).toEqual([
      [
        "pool nodepool1",
        "workloadRuntime",
        "KataMshvVmIsolation: the name of the preview, still taken; it is KataVmIsolation now",
      ],
      ["pool nodepool1", "os-sku", "AzureLinux"],
      ["pool nodepool1", "size", "Standard_D4s_v3: AKS accepted it"],
      ["pool nodepool1", "generation", "2, by size and node image"],
      ["pool nodepool1", "node image", "AKSCBLMariner-V2katagen2-202503.13.0"],
      ["pool nodepool1", "Kubernetes", "1.30.9"],
      ["node aks-nodepool1-34487422-vmss000000", "label", "kubernetes.azure.com/kata-mshv-vm-isolation=true"],
      ["node aks-nodepool1-34487422-vmss000000", "node image", "AKSCBLMariner-V2katagen2-202503.13.0"],
      ["node aks-nodepool1-34487422-vmss000000", "kernel", "5.15.157.mshv1-2.cm2"],
      ["node aks-nodepool1-34487422-vmss000000", "size", "Standard_D4s_v3: AKS accepted it"],
      ["runtimeclass kata-mshv-vm-isolation", "handler", "kata"],
      ["runtimeclass kata-mshv-vm-isolation", "labels", "kept by AKS"],
      [
        "runtimeclass kata-mshv-vm-isolation",
        "nodeSelector",
        "kubernetes.azure.com/kata-mshv-vm-isolation=true: 1 of 1 nodes",
      ],
    ]);
  });

  test("fails on the warning if it is to be strict", () => {
    expect(report([AKS, NODES], true).passed).toBe(false);
  });

  test("reads both from one pipe, and a pool alone or in a list", () => {
    const both = report([AKS, NODES]);
    expect(report([AKS + NODES])).toEqual(both);
    const pools = JSON.parse(AKS).agentPoolProfiles;
    const ofPools = both.findings.filter(({ object }) => object.startsWith("pool "));
    expect(report([JSON.stringify(pools)]).findings).toEqual(ofPools);
    expect(report([JSON.stringify(pools[0])]).findings).toEqual(ofPools);
  });
});

/** What is changed in the documents, and what is found then besides the overhead. */
const CHANGES: readonly (readonly [from: string | RegExp, to: string, found: readonly string[]])[] = [
  ['"AzureLinux"', '"Ubuntu"', ["failed pool nodepool1: os-sku"]],
  ['"AzureLinux"', '"CBLMariner"', ["warning pool nodepool1: os-sku"]],
  ['"osType": "Linux"', '"osType": "Windows"', ["failed pool nodepool1: os-sku"]],
  [
    /Standard_D4s_v3/g,
    "Standard_D2ls_v5",
    ["failed pool nodepool1: size", "failed node aks-nodepool1-34487422-vmss000000: size"],
  ],
  [
    '"vmSize": "Standard_D4s_v3"',
    '"vmSize": "Standard_D4_v3"',
    ["failed pool nodepool1: size", "failed pool nodepool1: generation"],
  ],
  [
    '"vmSize": "Standard_D4s_v3"',
    '"vmSize": "Standard_X1_v1"',
    ["warning pool nodepool1: size", "warning pool nodepool1: generation"],
  ],
  ['"vmSize": "Standard_D4s_v3"', '"vmSize": "Standard_D4ls_v5"', ["warning pool nodepool1: size"]],
  ["KataMshvVmIsolation", "KataVmIsolation", []],
  ["KataMshvVmIsolation", "katavmisolation", []],
  ["KataMshvVmIsolation", "OCIContainer", ["failed pool nodepool1: workloadRuntime"]],
  [
    "KataMshvVmIsolation",
    "KataCcIsolation",
    [
      "failed cluster: runtimeclasses",
      "failed pool nodepool1: size",
      "failed node aks-nodepool1-34487422-vmss000000: label",
    ],
  ],
  [/1\.30(\.9)?"/g, '1.26.3"', ["failed pool nodepool1: Kubernetes"]],
  [
    /V2katagen2/g,
    "V2gen2",
    ["failed pool nodepool1: node image", "failed node aks-nodepool1-34487422-vmss000000: node image"],
  ],
  [
    '"nodeImageVersion": "AKSCBLMariner-V2katagen2-202503.13.0"',
    '"nodeImageVersion": "AKSAzureLinux-V3katagen2-202608.20.0"',
    ["warning node aks-nodepool1-34487422-vmss000000: node image"],
  ],
  ["5.15.157.mshv1-2.cm2", "5.15.0-1084-azure", ["failed node aks-nodepool1-34487422-vmss000000: kernel"]],
  [
    '"architecture": "amd64"',
    '"architecture": "arm64"',
    ["failed node aks-nodepool1-34487422-vmss000000: architecture"],
  ],
  ["containerd://", "cri-o://", ["failed node aks-nodepool1-34487422-vmss000000: container runtime"]],
  [
    '"Ready",\n            "status": "True"',
    '"Ready",\n            "status": "Unknown"',
    ["warning node aks-nodepool1-34487422-vmss000000: state"],
  ],
  [
    '"provisioningState": "Succeeded",\n      "workload',
    '"provisioningState": "Failed",\n      "workload',
    ["warning pool nodepool1: state"],
  ],
  [
    '"kubernetes.azure.com/kata-mshv-vm-isolation": "true",',
    "",
    [
      "failed cluster: nodes",
      "failed node aks-nodepool1-34487422-vmss000000: label",
      "failed runtimeclass kata-mshv-vm-isolation: nodeSelector",
    ],
  ],
  [
    '"handler": "kata"',
    '"handler": "kata-x"',
    ["failed cluster: runtimeclasses", "failed runtimeclass kata-mshv-vm-isolation: handler"],
  ],
  ['"Reconcile"', '"EnsureExists"', ["warning runtimeclass kata-mshv-vm-isolation: labels"]],
  ['"handler": "runc"', '"handler": "RunC"', ["failed runtimeclass runc: schema"]],
];

describe("preflight()", () => {
  test.each(CHANGES)("notices that %s became %s", (from, to, found) => {
    const before = AKS + NODES;
    const after = before.replace(from, to);
    expect(after).not.toBe(before);
    const { findings, passed } = report([after]);
    const others = bad(findings).filter(
      (line) => line !== "warning runtimeclass kata-mshv-vm-isolation: overhead",
    );
    expect(others).toEqual(found);
    expect(passed).toBe(!found.some((line) => line.startsWith("failed")));
    // Whatever is wrong comes with something to do.
    expect(
      findings.filter(
        ({ verdict, fix }) => (verdict === "failed" || verdict === "warning") && fix === undefined,
      ),
    ).toEqual([]);
  });

  test("quotes AKS, with the value of the pool, for a size that it refuses", () => {
    const size = report([AKS.replace("Standard_D4s_v3", "Standard_D2ls_v5")]).findings.find(
      ({ rule }) => rule === "size",
    );
    expect(size?.detail).toContain(
      '(InvalidWorkloadRuntimeSettingError) Kata: "KataMshvVmIsolation" has to be used',
    );
    expect(size?.fix).toContain("Standard_D4s_v3");
  });

  test("judges only what it is told", () => {
    expect(bad(report([AKS]).findings)).toEqual([]);
    expect(bad(report(['{"kind": "NodeList", "items": []}']).findings)).toEqual(["failed cluster: nodes"]);
    expect(bad(report(['{"kind": "RuntimeClassList", "items": []}']).findings)).toEqual([
      "failed cluster: runtimeclasses",
    ]);
    expect(bad(report(["[]"]).findings)).toEqual([]);
  });

  test("says that a cluster of ordinary pools has none for virtual machines", () => {
    const ordinary = AKS.replace("KataMshvVmIsolation", "OCIContainer").replace("katagen2", "gen2");
    expect(bad(report([ordinary]).findings)).toEqual(["failed cluster: pools"]);
  });

  test.each(["1", '{"kind": "Service"}', "{}", '[{"name": "x"}]', "[".repeat(3000) + "]".repeat(3000)])(
    "refuses %s",
    (text) => {
      expect(() => report([text])).toThrowError(/read cluster: f \(expected the JSON of az aks show/);
    },
  );

  test("survives fields of other types than they should have", () => {
    const odd =
      '{"agentPoolProfiles": [null, 1, {"name": 1, "vmSize": {}, "workloadRuntime": "KataVmIsolation"}]}';
    expect(() => report([odd, '{"kind": "Node", "metadata": 1, "status": {"conditions": 1}}'])).not.toThrow();
  });
});

const CLASS = {
  apiVersion: "node.k8s.io/v1",
  kind: "RuntimeClass",
  metadata: { name: "kata-vm-isolation" },
  handler: "kata",
};

/** Findings about a pod with these limits, in a cluster whose RuntimeClass has this overhead. */
function podFindings(limits: Record<string, string>, overhead = "600Mi", spec: object = {}) {
  const pod = {
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: {
      runtimeClassName: "kata-vm-isolation",
      containers: [{ name: "c", resources: { limits } }],
      ...spec,
    },
  };
  const runtimeClass = { ...CLASS, overhead: { podFixed: { memory: overhead } } };
  const { findings } = report([JSON.stringify(runtimeClass), JSON.stringify(pod), NODES]);
  return findings
    .filter(({ object }) => object === "pod default/p")
    .map(({ rule, verdict, detail }) => `${verdict} ${rule}: ${detail}`);
}

describe("preflight() of a pod", () => {
  test("tells the size of its machine", () => {
    expect(podFindings({ memory: "1Gi", cpu: "2500m" })).toEqual([
      "ok memory: the machine has 1Gi, the guest's kernel included",
      "ok cpu: limit 2.5: the machine has 3",
    ]);
    expect(podFindings({})).toEqual([
      "warning memory: no limit: the machine gets 512Mi, the guest's kernel included, and keeps it",
      "ok cpu: no limit: the machine has 1 CPU",
    ]);
  });

  test.each([
    [{ memory: "64Mi" }, "600Mi", "failed memory: limit 64Mi: at least 128Mi is supported"],
    [{ memory: "lots" }, "600Mi", 'failed memory: c: "lots" is no quantity'],
    [
      { memory: "4Gi" },
      "128Mi",
      "warning overhead: 128Mi of kata-vm-isolation: AKS advises 374Mi for a limit of 4Gi; beyond it the pod is killed",
    ],
    [
      { memory: "13Gi" },
      "600Mi",
      "failed room: limit and overhead are 13912Mi, and the largest node has 12880Mi",
    ],
  ])("with limits %j and overhead %s is told: %3$s", (limits, overhead, expected) => {
    expect(podFindings(limits, overhead)).toContain(expected);
  });

  test("refuses the host's network, and says what privileged means", () => {
    const found = podFindings({ memory: "1Gi" }, "600Mi", {
      hostNetwork: true,
      containers: [
        { name: "c", securityContext: { privileged: true }, resources: { limits: { memory: "1Gi" } } },
      ],
    });
    expect(found[0]).toMatch(/^failed hostNetwork/);
    expect(found[1]).toMatch(/^note privileged: c/);
  });

  test("leaves ordinary pods alone, and misses a RuntimeClass", () => {
    expect(podFindings({}, "600Mi", { runtimeClassName: undefined })).toEqual([]);
    expect(podFindings({}, "600Mi", { runtimeClassName: "runc" })).toEqual([]);
    expect(podFindings({}, "600Mi", { runtimeClassName: "kata" })).toEqual([
      "failed runtimeClassName: the cluster has no RuntimeClass kata",
    ]);
  });
});
