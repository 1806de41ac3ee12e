/**
 * D-Bus messages.
 *
 * ```
 *  ┌───────┬──────┬───────┬─────────┬─────────────┬────────┬─────────────────────┬───────┬──────┐
 *  │ 'l'   │ type │ flags │ 1       │ body length │ serial │ a(yv) header fields │ pad 8 │ body │
 *  │ 1     │ 1    │ 1     │ 1       │ 4           │ 4      │ 4 + …               │       │      │
 *  └───────┴──────┴───────┴─────────┴─────────────┴────────┴─────────────────────┴───────┴──────┘
 * ```
 *
 * Source: D-Bus specification 0.41, "Message Format".
 */
import { DbusReader, type DbusValue, DbusWriter, malformed, splitSignature } from "./marshal.ts";

export const METHOD_CALL = 1;
export const METHOD_RETURN = 2;
export const ERROR = 3;

export interface DbusMessage {
  readonly type: number;
  readonly serial: number;
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly errorName?: string;
  readonly replySerial?: number;
  readonly destination?: string;
  readonly sender?: string;
  readonly signature?: string;
  readonly body: readonly DbusValue[];
}

const FIXED_BYTES = 16;
/** Longest message that is read, bytes. */
export const MAX_MESSAGE_BYTES = 1 << 20;
const LITTLE_ENDIAN = 0x6c;

/** Code, name and type of each header field. */
const FIELDS = [
  [1, "path", "o"],
  [2, "interface", "s"],
  [3, "member", "s"],
  [4, "errorName", "s"],
  [5, "replySerial", "u"],
  [6, "destination", "s"],
  [7, "sender", "s"],
  [8, "signature", "g"],
] as const;

export function encodeDbusMessage(message: DbusMessage): Uint8Array {
  const body = new DbusWriter();
  const types = splitSignature(message.signature ?? "");
  for (const [index, type] of types.entries()) body.write(type, message.body[index] ?? 0);
  const header = new DbusWriter();
  for (const byte of [LITTLE_ENDIAN, message.type, 0, 1]) header.write("y", byte);
  header.write("u", body.length);
  header.write("u", message.serial);
  const fields: DbusValue[] = [];
  for (const [code, name, signature] of FIELDS) {
    const value = message[name];
    if (value !== undefined && value !== "") fields.push([code, { signature, value }]);
  }
  header.write("a(yv)", fields);
  header.align(8);
  const bytes = new Uint8Array(header.length + body.length);
  bytes.set(header.bytes());
  bytes.set(body.bytes(), header.length);
  return bytes;
}

/** How long the message is that `bytes` begin with; undefined while that cannot be told. @throws KataError `malformed-message`. */
export function dbusMessageLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < FIXED_BYTES) return undefined;
  if (bytes[0] !== LITTLE_ENDIAN || bytes[3] !== 1) throw malformed("it is of another byte order or version");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields = view.getUint32(12, true);
  const length = Math.ceil((FIXED_BYTES + fields) / 8) * 8 + view.getUint32(4, true);
  if (length > MAX_MESSAGE_BYTES) throw malformed(`${length} bytes`);
  return length;
}

/** @param bytes of one message. @throws KataError `malformed-message`. */
export function decodeDbusMessage(bytes: Uint8Array): DbusMessage {
  const reader = new DbusReader(bytes);
  const [, type = 0] = [reader.read("y"), reader.read("y"), reader.read("y"), reader.read("y")];
  reader.read("u");
  const serial = reader.read("u");
  const fields: Record<string, DbusValue> = {};
  for (const field of reader.read("a(yv)") as DbusValue[]) {
    const [code, variant] = field as DbusValue[];
    const known = FIELDS.find(([each]) => each === code);
    const { signature = "", value = 0 } = variant as { signature?: string; value?: DbusValue };
    // Fields that are not known are to be passed over.
    if (known !== undefined && known[2] === signature) fields[known[1]] = value;
  }
  reader.align(8);
  const types = splitSignature(String(fields.signature ?? ""));
  return {
    ...fields,
    type: Number(type),
    serial: Number(serial),
    body: types.map((each) => reader.read(each)),
  };
}
