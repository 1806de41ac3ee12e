/** The configuration of the host's programs. */
export { ANNOTATION_PREFIXES, applyAnnotations } from "./annotations.ts";
export {
  type AgentConfiguration,
  type Configuration,
  defaultConfiguration,
  type FactoryConfiguration,
  type HypervisorConfiguration,
  type MemAgentConfiguration,
  type RuntimeConfiguration,
} from "./configuration.ts";
export { VIRTIOFSD_PATHS } from "./hypervisor-keys.ts";
export type { DriverName } from "./key.ts";
export { mergeDropIns, type ParseOptions, parseConfiguration } from "./parse-configuration.ts";
export {
  configurationPaths,
  dropInDirectory,
  type Flavour,
  isShippedLocation,
  type PathRequest,
} from "./paths.ts";
export type { ConfigurationSource } from "./source.ts";
