/**
 * The document `policy_data`: what the rules compare requests with.
 *
 * Names are those of upstream's genpolicy, so that rules and tools for the one read the other.
 */
import type { Json } from "./json.ts";

export interface PolicyData {
  readonly containers: readonly ContainerPolicy[];
  readonly common: Json;
  readonly sandbox: Json;
  readonly request_defaults: Json;
  readonly devices: Json;
  readonly cluster_config: Json;
}

export interface ContainerPolicy {
  readonly OCI: SpecPolicy;
  readonly storages: readonly StoragePolicy[];
  readonly devices: readonly DevicePolicy[];
  readonly sandbox_pidns: boolean;
  /** Commands of probes and life cycle hooks. */
  readonly exec_commands: readonly (readonly string[])[];
  /** Expressions for annotations that only the running pod has: key → value. */
  readonly runtime_anno_patterns: Readonly<Record<string, string>>;
}

export interface SpecPolicy {
  readonly Version: string;
  readonly Process: ProcessPolicy;
  readonly Root: { readonly Path: string; readonly Readonly: boolean };
  readonly Mounts: readonly MountPolicy[];
  readonly Annotations: Readonly<Record<string, string>>;
  readonly Linux: LinuxPolicy;
}

export interface ProcessPolicy {
  readonly Terminal: boolean;
  readonly User: UserPolicy;
  readonly Args: readonly string[];
  readonly Env: readonly string[];
  readonly Cwd: string;
  readonly Capabilities: CapabilityPolicy;
  readonly NoNewPrivileges: boolean;
}

export interface UserPolicy {
  readonly UID: number;
  readonly GID: number;
  /** Ascending. */
  readonly AdditionalGids: readonly number[];
  readonly Username: string;
}

export interface CapabilityPolicy {
  readonly Ambient: readonly string[];
  readonly Bounding: readonly string[];
  readonly Effective: readonly string[];
  readonly Inheritable: readonly string[];
  readonly Permitted: readonly string[];
}

export interface MountPolicy {
  readonly destination: string;
  /** A path, or an expression for one if it begins with `^` once its placeholders are replaced. */
  readonly source: string;
  readonly type_: string;
  readonly options: readonly string[];
}

export interface LinuxPolicy {
  readonly Namespaces: readonly { readonly Type: string; readonly Path: string }[];
  readonly MaskedPaths: readonly string[];
  readonly ReadonlyPaths: readonly string[];
  readonly Devices: readonly { readonly Type: string; readonly Path: string }[];
  readonly Sysctl: Readonly<Record<string, string>>;
}

export interface StoragePolicy {
  readonly driver: string;
  readonly driver_options: readonly string[];
  readonly source: string;
  readonly fstype: string;
  readonly options: readonly string[];
  readonly mount_point: string;
  readonly fs_group: { readonly group_id: number } | null;
  readonly shared: boolean;
}

export interface DevicePolicy {
  readonly id: string;
  readonly type_: string;
  readonly vm_path: string;
  readonly container_path: string;
  readonly options: readonly string[];
}

/** The text that the agent loads: the rules, then the data that they are about. */
export function policyText(rules: string, data: PolicyData): string {
  return `${rules}\npolicy_data := ${policyDataText(data)}`;
}

export function policyDataText(data: PolicyData): string {
  return JSON.stringify(withoutEmpty(data), null, 2);
}

/** Fields that are left out when there is nothing in them, as upstream does. */
const OMITTED_WHEN_EMPTY = new Set(["Args", "Env", "Mounts", "Annotations", "Cwd", "Sysctl"]);

function withoutEmpty(data: PolicyData): unknown {
  const trim = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(trim);
    if (typeof value !== "object" || value === null) return value;
    const kept = Object.entries(value).filter(
      ([key, field]) => !(OMITTED_WHEN_EMPTY.has(key) && isEmpty(field)),
    );
    return Object.fromEntries(kept.map(([key, field]) => [key, trim(field)]));
  };
  return { ...data, containers: data.containers.map(trim) };
}

function isEmpty(value: unknown): boolean {
  return value === "" || (typeof value === "object" && value !== null && Object.keys(value).length === 0);
}
