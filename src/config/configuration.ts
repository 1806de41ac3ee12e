/** What the configuration says, with all defaults filled in. */
import { HYPERVISOR_KEYS } from "./hypervisor-keys.ts";
import { type DriverName, defaultFor, type Section, type ValuesOf } from "./key.ts";
import { AGENT_KEYS, FACTORY_KEYS, MEM_AGENT_KEYS, RUNTIME_KEYS } from "./runtime-keys.ts";

export type HypervisorConfiguration = ValuesOf<typeof HYPERVISOR_KEYS>;
export type FactoryConfiguration = ValuesOf<typeof FACTORY_KEYS>;
export type AgentConfiguration = ValuesOf<typeof AGENT_KEYS>;
export type MemAgentConfiguration = ValuesOf<typeof MEM_AGENT_KEYS>;
export type RuntimeConfiguration = ValuesOf<typeof RUNTIME_KEYS>;

/** Fields are named as the keys of the file are. */
export interface Configuration {
  /** The files that it comes from, in the order in which they were read. */
  readonly sources: readonly string[];
  /** Whose table `hypervisor` is. */
  readonly driver: DriverName;
  readonly hypervisor: HypervisorConfiguration;
  readonly factory: FactoryConfiguration;
  readonly agent: AgentConfiguration;
  readonly memAgent: MemAgentConfiguration;
  readonly runtime: RuntimeConfiguration;
  /** What is odd but no error: unknown keys, values without effect. */
  readonly warnings: readonly string[];
}

/** The parts of a {@link Configuration} that come from keys. */
export type SectionName = "hypervisor" | "factory" | "agent" | "memAgent" | "runtime";

export const SECTIONS: Readonly<Record<SectionName, Section>> = {
  hypervisor: HYPERVISOR_KEYS,
  factory: FACTORY_KEYS,
  agent: AGENT_KEYS,
  memAgent: MEM_AGENT_KEYS,
  runtime: RUNTIME_KEYS,
};

/** Values by section and name while a configuration is put together; each has been checked against its key. */
export type SectionValues = Readonly<Record<SectionName, Record<string, unknown>>>;

/** The values of `configuration`, to be changed. */
export function sectionValues(configuration: Configuration): SectionValues {
  return {
    hypervisor: { ...configuration.hypervisor },
    factory: { ...configuration.factory },
    agent: { ...configuration.agent },
    memAgent: { ...configuration.memAgent },
    runtime: { ...configuration.runtime },
  };
}

/** `configuration` with `values` in the place of its own. */
export function withValues(
  configuration: Pick<Configuration, "sources" | "driver" | "warnings">,
  values: SectionValues,
): Configuration {
  const { sources, driver, warnings } = configuration;
  // Each value was checked against its row of the table, from which these types are made.
  return {
    sources,
    driver,
    hypervisor: values.hypervisor as HypervisorConfiguration,
    factory: values.factory as FactoryConfiguration,
    agent: values.agent as AgentConfiguration,
    memAgent: values.memAgent as MemAgentConfiguration,
    runtime: values.runtime as RuntimeConfiguration,
    warnings,
  };
}

/** The configuration of an empty file. */
export function defaultConfiguration(driver: DriverName): Configuration {
  const defaults = (section: Section) =>
    Object.fromEntries(Object.entries(section).map(([name, key]) => [name, defaultFor(key, driver)]));
  return withValues(
    { sources: [], driver, warnings: [] },
    {
      hypervisor: defaults(HYPERVISOR_KEYS),
      factory: defaults(FACTORY_KEYS),
      agent: defaults(AGENT_KEYS),
      memAgent: defaults(MEM_AGENT_KEYS),
      runtime: defaults(RUNTIME_KEYS),
    },
  );
}
