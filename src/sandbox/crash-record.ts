/**
 * What another process needs to know to clean up after a shim that was killed: written while the sandbox is made, read by
 * `shim delete`. The file may be missing, half written or of another version: whatever it says is checked before it is used.
 */
import { readTextFileIfExists, replaceFile } from "../sys/files.ts";
import { isMonitorDirectory } from "./hypervisor/monitor-user.ts";
import type { RemoteService } from "./hypervisor/remote/remote-service.ts";
import { type NetworkStep, parseNetworkSteps } from "./network/network-steps.ts";
import type { SandboxPaths } from "./sandbox-paths.ts";

export interface RecordedProcess {
  readonly name: string;
  readonly pid: number;
  /** Clock ticks after boot, from /proc/PID/stat: a pid is used again, a pid with its start time is not. */
  readonly startTime: number;
}

export interface CrashRecord {
  readonly version: 1;
  readonly processes: readonly RecordedProcess[];
  readonly networkNamespace: string | undefined;
  /** What was changed in it, in order. */
  readonly networkSteps: readonly NetworkStep[];
  readonly cgroups: readonly string[];
  /** Of the user that the monitor runs as. */
  readonly monitorDirectory?: string | undefined;
  /** Who may have made a machine for the sandbox on another host, which goes on without its shim. */
  readonly remote?: RemoteService | undefined;
}

export const EMPTY_RECORD: CrashRecord = {
  version: 1,
  processes: [],
  networkNamespace: undefined,
  networkSteps: [],
  cgroups: [],
};

export function writeCrashRecord(paths: SandboxPaths, record: CrashRecord): void {
  replaceFile(paths.state, JSON.stringify(record));
}

/** The record, or as much of it as can be read; undefined if there is none. */
export function readCrashRecord(paths: SandboxPaths): CrashRecord | undefined {
  const text = readTextFileIfExists(paths.state);
  return text === undefined ? undefined : parseCrashRecord(text);
}

/** @returns undefined if `text` is no record of this version. */
export function parseCrashRecord(text: string): CrashRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const record = value as Readonly<Record<string, unknown>>;
  if (record.version !== 1) return undefined;
  return {
    version: 1,
    processes: listOf(record.processes, isProcess),
    networkNamespace: isAbsolutePath(record.networkNamespace) ? record.networkNamespace : undefined,
    networkSteps: parseNetworkSteps(record.networkSteps),
    cgroups: listOf(record.cgroups, isCgroup),
    monitorDirectory: isMonitorDirectory(record.monitorDirectory) ? record.monitorDirectory : undefined,
    remote: isRemoteService(record.remote) ? record.remote : undefined,
  };
}

function listOf<T>(value: unknown, is: (item: unknown) => item is T): T[] {
  return Array.isArray(value) ? value.filter(is) : [];
}

function isProcess(value: unknown): value is RecordedProcess {
  if (typeof value !== "object" || value === null) return false;
  const { name, pid, startTime } = value as Readonly<Record<string, unknown>>;
  return (
    typeof name === "string" &&
    Number.isSafeInteger(pid) &&
    Number(pid) > 1 &&
    Number.isSafeInteger(startTime)
  );
}

function isRemoteService(value: unknown): value is RemoteService {
  if (typeof value !== "object" || value === null) return false;
  const { socket, timeoutMs } = value as Readonly<Record<string, unknown>>;
  return isAbsolutePath(socket) && Number.isSafeInteger(timeoutMs) && Number(timeoutMs) >= 0;
}

function isAbsolutePath(value: unknown): value is string {
  return typeof value === "string" && value.startsWith("/") && !value.includes("\0");
}

function isCgroup(value: unknown): value is string {
  return isAbsolutePath(value) && value.startsWith("/sys/fs/cgroup/") && !value.split("/").includes("..");
}
