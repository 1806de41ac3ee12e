/**
 * What AKS calls containers in virtual machines, in both generations of names: of the preview (2023 to 2025) and since then.
 * Source: MicrosoftDocs/azure-aks-docs:articles/aks/use-pod-sandboxing.md, Azure/AgentBaker, kubernetes-sigs/azurefile-csi-driver.
 */

export interface AksRuntime {
  readonly kind: "sandboxing" | "confidential";
  /** `--workload-runtime`, `workloadRuntime` of a pool. */
  readonly workloadRuntime: string;
  readonly runtimeClass: string;
  /** Of the container runtime. */
  readonly handler: string;
  /** Label of nodes, and the selector of the RuntimeClass. */
  readonly label: string;
  /** Lowest version of Kubernetes. */
  readonly kubernetes: readonly [major: number, minor: number];
  /** Flag of the subscription that the preview needs; undefined if it needs none. */
  readonly feature: string | undefined;
  /** An earlier name of what {@link KATA_VM_ISOLATION} is now. */
  readonly former: boolean;
}

export const KATA_VM_ISOLATION: AksRuntime = {
  kind: "sandboxing",
  workloadRuntime: "KataVmIsolation",
  runtimeClass: "kata-vm-isolation",
  handler: "kata",
  label: "kubernetes.azure.com/kata-vm-isolation",
  kubernetes: [1, 27],
  feature: undefined,
  former: false,
};

export const KATA_MSHV_VM_ISOLATION: AksRuntime = {
  kind: "sandboxing",
  workloadRuntime: "KataMshvVmIsolation",
  runtimeClass: "kata-mshv-vm-isolation",
  handler: "kata",
  label: "kubernetes.azure.com/kata-mshv-vm-isolation",
  kubernetes: [1, 27],
  feature: "KataVMIsolationPreview",
  former: true,
};

export const KATA_CC_ISOLATION: AksRuntime = {
  kind: "confidential",
  workloadRuntime: "KataCcIsolation",
  runtimeClass: "kata-cc-isolation",
  handler: "kata-cc",
  label: "kubernetes.azure.com/kata-cc-isolation",
  kubernetes: [1, 25],
  feature: "KataCcIsolationPreview",
  former: false,
};

export const AKS_RUNTIMES: readonly AksRuntime[] = [
  KATA_VM_ISOLATION,
  KATA_MSHV_VM_ISOLATION,
  KATA_CC_ISOLATION,
];

/** The runtime of a pool by its `workloadRuntime`, in any case, as Azure takes it; undefined for ordinary containers. */
export function aksRuntime(workloadRuntime: string): AksRuntime | undefined {
  const wanted = workloadRuntime.toLowerCase();
  return AKS_RUNTIMES.find((each) => each.workloadRuntime.toLowerCase() === wanted);
}
