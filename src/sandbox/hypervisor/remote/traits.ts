import type { HypervisorTraits } from "../types.ts";

export const REMOTE: HypervisorTraits = {
  name: "remote hypervisor",
  isElsewhere: true,
  // No machine of it has a file server.
  fileServerIs: "listening",
};
