/** The generated messages and clients that this room uses; nothing else of it imports from the build. */
export {
  type AgentServiceClient,
  agentServiceClient,
  type BlkioStatsEntry,
  type StatsContainerResponse,
} from "../../build/generated/agent.ts";
export { type VolumeStatsResponse, VolumeUsageUnit as VolumeUnit } from "../../build/generated/csi.ts";
export { type HealthClient, healthClient } from "../../build/generated/health.ts";
export { type HypervisorClient, hypervisorClient } from "../../build/generated/remote.ts";
