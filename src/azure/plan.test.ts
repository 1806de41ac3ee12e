import { describe, expect, test } from "vitest";
import { type PlanRequest, plan } from "./plan.ts";

const REQUEST: PlanRequest = {
  resourceGroup: "rgkata",
  cluster: "aks",
  location: "westeurope",
  size: "standard_d4s_v3",
  nodes: 1,
  workloadRuntime: "KataVmIsolation",
  addPool: undefined,
};
const commands = (changes: Partial<PlanRequest>) =>
  plan({ ...REQUEST, ...changes }).map(({ command }) => command);

describe("plan()", () => {
  test("makes a cluster as AKS's guide does", () => {
    expect(commands({}).slice(1, 5)).toEqual([
      "az group create --name rgkata --location westeurope",
      "az aks create --resource-group rgkata --name aks --os-sku AzureLinux --workload-runtime KataVmIsolation --node-vm-size Standard_D4s_v3 --node-count 1",
      "az aks get-credentials --resource-group rgkata --name aks --overwrite-existing",
      "kubectl get runtimeclass kata-vm-isolation; kubectl get nodes --selector kubernetes.azure.com/kata-vm-isolation=true",
    ]);
  });

  test("adds a pool to a cluster, and quotes for the shell", () => {
    expect(commands({ addPool: "npkata", resourceGroup: "a(b)" }).slice(1, 3)).toEqual([
      "az aks nodepool add --resource-group 'a(b)' --cluster-name aks --name npkata --os-sku AzureLinux --workload-runtime KataVmIsolation --node-vm-size Standard_D4s_v3 --node-count 1",
      "az aks update --resource-group 'a(b)' --name aks",
    ]);
  });

  test("registers the flag that a preview needs", () => {
    expect(commands({ workloadRuntime: "KataMshvVmIsolation" }).slice(0, 2)).toEqual([
      "az extension add --upgrade --name aks-preview",
      "az feature register --namespace Microsoft.ContainerService --name KataVMIsolationPreview",
    ]);
    const confidential = commands({ workloadRuntime: "KataCcIsolation" }).join("\n");
    expect(confidential).toContain("--name confcom");
    expect(confidential).toContain("--enable-oidc-issuer --enable-workload-identity");
    expect(confidential).toContain("kata-cc-isolation");
  });

  test.each<[Partial<PlanRequest>, RegExp]>([
    [{ workloadRuntime: "KataVMIsolatoin" }, /did you mean KataVmIsolation\?/],
    [{ resourceGroup: "a; rm -rf /" }, /--resource-group/],
    [{ resourceGroup: "ends." }, /--resource-group/],
    [{ cluster: "-x" }, /--name/],
    [{ addPool: "Pool" }, /--add-pool/],
    [{ addPool: "abcdefghijklm" }, /--add-pool/],
    [{ location: "$(id)" }, /--location/],
    [{ nodes: 0 }, /--node-count/],
    [{ nodes: 1.5 }, /--node-count/],
  ])("refuses %j", (changes, message) => {
    expect(() => plan({ ...REQUEST, ...changes })).toThrowError(message);
  });
});
