/** The protocol's messages and services, made from `proto/` at build time. */
export {
  type AgentServiceHandlers,
  agentService,
  type StatsContainerResponseInput,
  type Storage as StorageMessage,
} from "../../../build/generated/agent.ts";
export {
  getResourceServiceClient,
  imagePullServiceClient,
  sealedSecretServiceClient,
  secureMountServiceClient,
} from "../../../build/generated/confidential-data-hub.ts";
export { VolumeUsageUnit as VolumeUnit } from "../../../build/generated/csi.ts";
export {
  HealthCheckResponseServingStatus as ServingStatus,
  type HealthHandlers,
  healthService,
} from "../../../build/generated/health.ts";
export {
  type ARPNeighbor as NeighbourMessage,
  FSGroupChangePolicy,
  type Interface as InterfaceMessage,
  type InterfaceInput,
  IPFamily,
  type Route as RouteMessage,
  type RouteInput,
} from "../../../build/generated/types.ts";
