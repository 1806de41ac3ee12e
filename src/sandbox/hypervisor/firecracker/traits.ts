import type { HypervisorTraits } from "../types.ts";

export const FIRECRACKER: HypervisorTraits = {
  name: "Firecracker",
  // It has no file server.
  fileServerIs: "listening",
  tapsByName: true,
  limitsCards: true,
  fixedSize: true,
  copiesSavedMemory: true,
};
