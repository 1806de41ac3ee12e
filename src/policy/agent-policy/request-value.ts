/**
 * Requests as a policy sees them: JSON with the names of the protocol's .proto files.
 *
 * Source: the agent protocol; upstream's agent, whose serializer calls fields that are words of its language `type_`.
 */
import { parseNumber } from "../rego/decimal.ts";
import { RegoObject, type Value } from "../rego/values.ts";

/** A message as the decoder gives it. */
export type DecodedMessage = Readonly<Record<string, unknown>>;

/** Fields that have a capital letter inside in the protocol already; all others had an underscore there. */
const CAMEL_FIELDS = new Set([
  "additionalGids",
  "devicePath",
  "hwAddr",
  "memHotplugProbeAddr",
  "toIPAddress",
]);

/**
 * Messages that a message may hold: upstream's serializer gives null for those that are not there, which policies ask about. A
 * message is known by a field that it always has.
 */
const INNER_MESSAGES: readonly (readonly [mark: string, fields: readonly string[]])[] = [
  ["sharedMounts", ["stringUser", "OCI"]],
  ["execId", ["stringUser"]],
  ["Version", ["Process", "Root", "Hooks", "Linux", "Solaris", "Windows"]],
  ["NoNewPrivileges", ["ConsoleSize", "User", "Capabilities"]],
  ["MaskedPaths", ["Resources", "Seccomp", "IntelRdt"]],
  ["HugepageLimits", ["Memory", "CPU", "Pids", "BlockIO", "Network"]],
  ["driverOptions", ["fsGroup"]],
  ["lladdr", ["toIPAddress"]],
];

/** Messages nest no deeper than this. */
const MAX_DEPTH = 32;

/**
 * The value of a decoded request.
 *
 * Byte strings are left out: policies do not look into content, and it would cost many times its size.
 */
export function requestValue(message: DecodedMessage): Value {
  return objectValue(message, 0);
}

function objectValue(message: DecodedMessage, depth: number): RegoObject {
  const object = new RegoObject();
  for (const name of Object.keys(message)) {
    const field = message[name];
    if (field instanceof Uint8Array) continue;
    object.set(protocolName(name), fieldValue(field, depth + 1));
  }
  for (const [mark, fields] of INNER_MESSAGES) {
    if (message[mark] === undefined) continue;
    for (const name of fields) if (message[name] === undefined) object.set(protocolName(name), null);
  }
  return object;
}

function fieldValue(field: unknown, depth: number): Value {
  if (field === undefined || field === null || depth > MAX_DEPTH) return null;
  switch (typeof field) {
    case "string":
    case "boolean":
    case "number":
      return field;
    case "bigint":
      return parseNumber(`${field}`) ?? 0;
    default:
  }
  if (Array.isArray(field)) return field.map((item) => fieldValue(item, depth + 1));
  if (field instanceof Map) {
    const object = new RegoObject();
    for (const [key, value] of field) object.set(String(key), fieldValue(value, depth + 1));
    return object;
  }
  return objectValue(field as DecodedMessage, depth + 1);
}

/** `containerId` → `container_id`; `OCI` and `hwAddr` stay. */
function protocolName(name: string): string {
  if (name === "type") return "type_";
  if (CAMEL_FIELDS.has(name) || !/^[a-z]/.test(name)) return name;
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Kinds of files in a mode. Source: inode(7). */
const TYPE_MASK = 0o170000;
const FILE_TYPES: ReadonlyMap<number, string> = new Map([
  [0o100000, "Regular"],
  [0o040000, "Directory"],
  [0o120000, "Symlink"],
]);

/** What of a CopyFileRequest its rule is about. */
export interface CopyFileFields {
  readonly path: string;
  readonly fileSize: bigint;
  readonly fileMode: number;
  readonly dirMode: number;
  readonly uid: number;
  readonly gid: number;
  readonly offset: bigint;
  /** The content, or the target of a link. */
  readonly data: Uint8Array;
}

/**
 * The value of a CopyFileRequest: without the content, with the type of file told apart.
 *
 * @param decodeText UTF-8 to text, for the target of a link.
 */
export function copyFileValue(request: CopyFileFields, decodeText: (bytes: Uint8Array) => string): Value {
  const type = FILE_TYPES.get(request.fileMode & TYPE_MASK) ?? "Unknown";
  return RegoObject.of([
    ["path", request.path],
    ["file_type", type],
    ["symlink_target", type === "Symlink" ? decodeText(request.data) : ""],
    ["file_size", parseNumber(`${request.fileSize}`) ?? 0],
    ["file_mode", request.fileMode],
    ["dir_mode", request.dirMode],
    ["uid", request.uid],
    ["gid", request.gid],
    ["offset", parseNumber(`${request.offset}`) ?? 0],
  ]);
}
