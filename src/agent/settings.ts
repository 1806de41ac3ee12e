/**
 * What the agent can be told, from whatever source: a table of keys, and the settings that they make up.
 *
 * In a guest the keys come from the kernel command line (`agent.KEY=VALUE`), natively from the environment and flags.
 * Names and defaults are upstream's, so that a host of either kind can start this agent.
 */
import { KataError } from "../kata-error.ts";
import type { LogLevel } from "../sys/log.ts";
import type { DataHubTimeouts } from "./confidential/data-hub.ts";
import type { MemoryAgentSettings } from "./guest/memory-agent.ts";
import { type CompactionSettings, DEFAULT_COMPACTION } from "./guest/memory-compaction.ts";
import type { ImageSources } from "./policy/initdata-files.ts";

export interface Settings {
  readonly logLevel: LogLevel;
  /** Where to listen, a URI; undefined: whatever the machine has (see `listen-address.ts`). */
  readonly serverAddress: string | undefined;
  /** Longest wait for a device that the host has plugged in, ms. */
  readonly hotplugTimeoutMs: number;
  /** Size of the pipes of stdio, bytes; 0 is the kernel's default. */
  readonly containerPipeSize: number;
  /** Whether there is a shell for who looks for a fault: on the console, or on a vsock port. */
  readonly debugConsole: boolean;
  /** The vsock port of the shell; 0 for the console. */
  readonly debugConsolePort: number;
  /** Whether the guest uses cgroup v2 alone. */
  readonly unifiedCgroups: boolean;
  readonly memoryAgent: MemoryAgentSettings;
  readonly dataHub: DataHubTimeouts;
  /** Registries, with their port, that images are pulled from without encryption. */
  readonly insecureRegistries: readonly string[];
  /** What images are pulled by. */
  readonly images: ImageSources;
}

export const DEFAULT_SETTINGS: Settings = {
  logLevel: "info",
  serverAddress: undefined,
  hotplugTimeoutMs: 3000,
  containerPipeSize: 0,
  debugConsole: false,
  debugConsolePort: 0,
  unifiedCgroups: false,
  memoryAgent: { enabled: false, compaction: DEFAULT_COMPACTION },
  dataHub: { callMs: 50_000, pullMs: 1_200_000 },
  insecureRegistries: [],
  images: {},
};

/** Largest pipe an unprivileged process may have is 1 MiB; more than this buys nothing. */
const MAX_PIPE_BYTES = 64 << 20;
const MAX_TIMEOUT_SECONDS = 3600;
/** A vsock port, less the one that stands for any. */
const MAX_PORT = 0xffff_fffe;

/** What one key changes; of the memory agent's and the data hub's settings only what it names. */
type Change = Partial<Omit<Settings, "memoryAgent" | "dataHub">> & {
  readonly dataHub?: Partial<DataHubTimeouts>;
  readonly memoryAgent?: { readonly enabled?: boolean; readonly compaction?: Partial<CompactionSettings> };
};

type Apply = (value: string) => Change;

function compaction(change: Partial<CompactionSettings>): Change {
  return { memoryAgent: { compaction: change } };
}

function changed(settings: Settings, { memoryAgent, dataHub, images, ...change }: Change): Settings {
  const { enabled, compaction: before } = settings.memoryAgent;
  return {
    ...settings,
    ...change,
    dataHub: { ...settings.dataHub, ...dataHub },
    images: { ...settings.images, ...images },
    memoryAgent: {
      enabled: memoryAgent?.enabled ?? enabled,
      compaction: { ...before, ...memoryAgent?.compaction },
    },
  };
}

/** The keys that this agent acts on. Source: upstream kata-agent, kernel command line. */
const KEYS: Readonly<Record<string, Apply>> = {
  mem_agent_enable: (value) => ({ memoryAgent: { enabled: parseBoolean(value) } }),
  mem_agent_compact_disable: (value) => compaction({ disabled: parseBoolean(value) }),
  mem_agent_compact_period_secs: (value) =>
    compaction({
      periodSeconds: Math.max(1, parseNumber("agent.mem_agent_compact_period_secs", value, 1e9)),
    }),
  mem_agent_compact_period_psi_percent_limit: (value) =>
    compaction({
      periodPressureLimit: parseNumber("agent.mem_agent_compact_period_psi_percent_limit", value, 100),
    }),
  mem_agent_compact_psi_percent_limit: (value) =>
    compaction({ pressureLimit: parseNumber("agent.mem_agent_compact_psi_percent_limit", value, 100) }),
  mem_agent_compact_sec_max: (value) =>
    compaction({ maxSeconds: parseNumber("agent.mem_agent_compact_sec_max", value, 1e9) }),
  mem_agent_compact_order: (value) =>
    compaction({ order: parseNumber("agent.mem_agent_compact_order", value, 10) }),
  mem_agent_compact_threshold: (value) =>
    compaction({ threshold: parseNumber("agent.mem_agent_compact_threshold", value, 1e15) }),
  mem_agent_compact_force_times: (value) =>
    compaction({
      forceTimes: /^\d{16,20}$/.test(value)
        ? Number.POSITIVE_INFINITY
        : parseNumber("agent.mem_agent_compact_force_times", value, 1e15),
    }),
  log: (value) => ({ logLevel: parseLogLevel(value) }),
  server_addr: (value) => ({ serverAddress: value }),
  hotplug_timeout: (value) => ({
    hotplugTimeoutMs: parseNumber("agent.hotplug_timeout", value, MAX_TIMEOUT_SECONDS) * 1000,
  }),
  container_pipe_size: (value) => ({
    containerPipeSize: parseNumber("agent.container_pipe_size", value, MAX_PIPE_BYTES),
  }),
  debug_console: (value) => ({ debugConsole: parseBoolean(value) }),
  debug_console_vport: (value) => ({
    debugConsolePort: parseNumber("agent.debug_console_vport", value, MAX_PORT),
  }),
  cdh_api_timeout: (value) => ({
    dataHub: { callMs: parseNumber("agent.cdh_api_timeout", value, MAX_TIMEOUT_SECONDS) * 1000 },
  }),
  image_pull_timeout: (value) => ({
    dataHub: { pullMs: parseNumber("agent.image_pull_timeout", value, MAX_TIMEOUT_SECONDS) * 1000 },
  }),
  image_insecure_registries: (value) => ({
    insecureRegistries: value.split(",").filter((name) => name !== ""),
  }),
  image_registry_auth: (credentials) => ({ images: { credentials } }),
  image_policy_file: (policy) => ({ images: { policy } }),
  unified_cgroup_hierarchy: (value) => ({ unifiedCgroups: parseBoolean(value) }),
};

/** Keys of upstream's that are known, and have no meaning for this agent yet: they are no reason for a warning. */
const ACCEPTED_KEYS: ReadonlySet<string> = new Set(
  (
    "devmode trace log_vport passfd_listener_port " +
    "cdi_timeout launch_process_timeout visible_cdi_devices https_proxy no_proxy " +
    "guest_components_rest_api guest_components_procs secure_storage_integrity config_file " +
    "mem_agent_memcg_disable mem_agent_memcg_swap mem_agent_memcg_swappiness_max mem_agent_memcg_period_secs " +
    "mem_agent_memcg_period_psi_percent_limit mem_agent_memcg_eviction_psi_percent_limit " +
    "mem_agent_memcg_eviction_run_aging_count_min"
  ).split(" "),
);

export interface ParsedSettings {
  readonly settings: Settings;
  /** Sentences about keys that are unknown or have a bad value; those keep their default. */
  readonly warnings: readonly string[];
}

/** Applies `entries` (key without `agent.`, value) to the defaults, in order. */
export function applySettings(entries: Iterable<readonly [key: string, value: string]>): ParsedSettings {
  let settings = DEFAULT_SETTINGS;
  const warnings: string[] = [];
  for (const [key, value] of entries) {
    const apply = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
    if (apply === undefined) {
      if (!ACCEPTED_KEYS.has(key)) warnings.push(`unknown parameter agent.${key} is ignored`);
      continue;
    }
    try {
      settings = changed(settings, apply(value));
    } catch (error) {
      if (!(error instanceof KataError)) throw error;
      warnings.push(`${error.message}; the default is used`);
    }
  }
  return { settings, warnings };
}

const LOG_LEVELS: Readonly<Record<string, LogLevel>> = {
  fatal: "error",
  panic: "error",
  critical: "error",
  error: "error",
  warn: "warning",
  warning: "warning",
  info: "info",
  debug: "debug",
  trace: "debug",
};

function parseLogLevel(value: string): LogLevel {
  const level = Object.hasOwn(LOG_LEVELS, value) ? LOG_LEVELS[value] : undefined;
  if (level !== undefined) return level;
  throw new KataError("invalid-argument", {
    operation: "read parameter agent.log",
    object: JSON.stringify(value),
    hint: `it is one of ${Object.keys(LOG_LEVELS).join(", ")}`,
  });
}

/** A boolean as upstream reads it: `true`, `1`, and the bare key. */
export function parseBoolean(value: string): boolean {
  return value === "" || value === "1" || value === "true" || value === "yes";
}

function parseNumber(name: string, value: string, max: number): number {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (number <= max) return number;
  throw new KataError("invalid-argument", {
    operation: `read parameter ${name}`,
    object: JSON.stringify(value),
    hint: `it is a number from 0 to ${max}`,
  });
}
