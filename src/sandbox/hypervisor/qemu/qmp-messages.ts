/**
 * QEMU's monitor protocol: its messages and how a line becomes one.
 *
 * ```
 * QEMU →  {"QMP": {"version": …, "capabilities": […]}}                 once, on connecting
 *      ←  {"execute": "qmp_capabilities", "id": 1}
 * QEMU →  {"return": {}, "id": 1}    or    {"error": {"class": C, "desc": TEXT}, "id": 1}
 * QEMU →  {"event": NAME, "data": {…}, "timestamp": {…}}               at any time
 * ```
 *
 * Source: QEMU documentation, "QEMU Machine Protocol Specification".
 */
import { KataError } from "../../../kata-error.ts";
import type { Netdev } from "./network-card.ts";

/** What we send: each command with its arguments. Names and fields are QEMU's. */
export interface QmpCommands {
  qmp_capabilities: Record<string, never>;
  "query-status": Record<string, never>;
  "query-pci": Record<string, never>;
  stop: Record<string, never>;
  cont: Record<string, never>;
  quit: Record<string, never>;
  getfd: { readonly fdname: string };
  closefd: { readonly fdname: string };
  /** A descriptor that is sent along becomes the file `/dev/fdset/ID` of QEMU. */
  "add-fd": { readonly "fdset-id": number };
  "remove-fd": { readonly "fdset-id": number };
  "blockdev-add": BlockNode | ThrottleNode;
  "blockdev-del": { readonly "node-name": string };
  block_resize: { readonly "node-name": string; readonly size: number };
  netdev_add: Netdev;
  netdev_del: { readonly id: string };
  "chardev-add": { readonly id: string; readonly backend: SocketBackend };
  "chardev-remove": { readonly id: string };
  device_add: { readonly driver: string; readonly id: string } & Readonly<
    Record<string, string | number | boolean>
  >;
  device_del: { readonly id: string };
  "query-hotpluggable-cpus": Record<string, never>;
  "object-add": { readonly "qom-type": string; readonly id: string } & Readonly<
    Record<string, string | number | boolean | ThrottleLimits>
  >;
  "object-del": { readonly id: string };
  "qom-get": { readonly path: string; readonly property: string };
  "qom-set": { readonly path: string; readonly property: string; readonly value: number };
  "query-cpus-fast": Record<string, never>;
  /** `value`: the bytes that the guest shall have. */
  balloon: { readonly value: number };
  "query-balloon": Record<string, never>;
  /** `protocol`: `fd:NAME` of a descriptor that was sent before. */
  "dump-guest-memory": { readonly paging: boolean; readonly protocol: string };
  "migrate-set-capabilities": { readonly capabilities: readonly MigrationCapability[] };
  migrate: { readonly uri: string };
  "migrate-incoming": { readonly uri: string };
}

export interface MigrationCapability {
  /** `x-ignore-shared`: memory that is shared with others stays where it is. `events`: MIGRATION tells of each step. */
  readonly capability: "x-ignore-shared" | "events";
  readonly state: boolean;
}

/** Of a throttle group: bytes and operations per second, and the most in the second of a burst. Names are QEMU's. */
export interface ThrottleLimits {
  readonly "bps-total"?: number;
  readonly "bps-total-max"?: number;
  readonly "iops-total"?: number;
  readonly "iops-total-max"?: number;
}

/** A node over another that holds requests back. */
export interface ThrottleNode {
  readonly driver: "throttle";
  readonly "node-name": string;
  readonly "read-only": boolean;
  readonly discard: "unmap";
  readonly cache: BlockCache;
  readonly "throttle-group": string;
  readonly file: Omit<BlockNode, "node-name">;
}

export interface BlockNode {
  readonly driver: "raw";
  readonly "node-name": string;
  readonly "read-only": boolean;
  readonly discard: "unmap";
  readonly cache: BlockCache;
  readonly file: {
    readonly driver: "file" | "host_device";
    readonly filename: string;
    readonly aio: "threads" | "native" | "io_uring";
    readonly discard: "unmap";
    readonly cache: BlockCache;
  };
}

interface BlockCache {
  readonly direct: boolean;
  readonly "no-flush": boolean;
}

export interface SocketBackend {
  readonly type: "socket";
  readonly data: {
    readonly addr:
      | { readonly type: "fd"; readonly data: { readonly str: string } }
      | { readonly type: "unix"; readonly data: { readonly path: string } };
    readonly server: false;
    /** Seconds; the name of versions before 9.2. */
    readonly reconnect?: number;
    readonly "reconnect-ms"?: number;
  };
}

export type QmpMessage =
  | { readonly kind: "greeting"; readonly version: string }
  | { readonly kind: "result"; readonly id: number | undefined; readonly value: unknown }
  | {
      readonly kind: "error";
      readonly id: number | undefined;
      readonly errorClass: string;
      readonly description: string;
    }
  | { readonly kind: "event"; readonly name: string; readonly data: Readonly<Record<string, unknown>> };

/** Reads one line. @throws KataError `malformed-message` if it is none of the protocol's. */
export function parseQmpMessage(line: string): QmpMessage {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw malformed(line, error);
  }
  if (!isRecord(value)) throw malformed(line);
  const id = typeof value.id === "number" ? value.id : undefined;
  if ("return" in value) return { kind: "result", id, value: value.return };
  if (isRecord(value.error)) {
    const { class: errorClass, desc } = value.error;
    return { kind: "error", id, errorClass: String(errorClass), description: String(desc) };
  }
  if (typeof value.event === "string") {
    return { kind: "event", name: value.event, data: isRecord(value.data) ? value.data : {} };
  }
  if (isRecord(value.QMP)) return { kind: "greeting", version: versionOf(value.QMP) };
  throw malformed(line);
}

/** The line for a command. */
export function formatQmpCommand(name: string, commandArguments: object, id: number): string {
  return `${JSON.stringify({ execute: name, arguments: commandArguments, id })}\n`;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function versionOf(greeting: Readonly<Record<string, unknown>>): string {
  const version = isRecord(greeting.version) ? greeting.version.qemu : undefined;
  if (!isRecord(version)) return "unknown";
  return `${version.major}.${version.minor}.${version.micro}`;
}

function malformed(line: string, cause?: unknown): KataError {
  return new KataError("malformed-message", {
    operation: "read from QEMU's monitor",
    object: JSON.stringify(line.slice(0, 120)),
    cause,
  });
}

/** The records of a list; nothing of what is none. */
export function asRecords(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
