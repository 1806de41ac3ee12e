import type { HypervisorTraits } from "../types.ts";

export const CLOUD_HYPERVISOR: HypervisorTraits = {
  name: "Cloud Hypervisor",
  fileServerIs: "listening",
  copiesSavedMemory: true,
  namesDisks: true,
};
