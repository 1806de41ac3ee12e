/**
 * Netlink attributes: `length u16, type u16, value`, each padded to 4 bytes; a value may be attributes again.
 * Source: netlink(7), linux/netlink.h (struct nlattr).
 */
import { KataError } from "../../kata-error.ts";
import { fromCString, utf8Encode } from "../utf8.ts";

const HEADER_BYTES = 4;
const NLA_F_NESTED = 0x8000;
/** Without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`. */
const NLA_TYPE_MASK = 0x3fff;
/** The length is a u16 and counts the header. */
const MAX_VALUE_BYTES = 0xffff - HEADER_BYTES;

/** An encoded attribute with its padding, or any other bytes that stand in a message's body. */
export type Encoded = Uint8Array<ArrayBuffer>;

/** The bytes of a C structure, little-endian as on both our architectures. @param fill writes the fields that are not 0. */
export function structure(size: number, fill: (view: DataView) => void): Encoded {
  const view = new DataView(new ArrayBuffer(size));
  fill(view);
  return new Uint8Array(view.buffer);
}

/** All of `parts` after each other. */
export function concatenate(parts: readonly Uint8Array[]): Encoded {
  const joined = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function pad(length: number): number {
  return (length + 3) & ~3;
}

/** @throws KataError `invalid-argument` beyond 65,531 bytes. */
export function attribute(type: number, value: Uint8Array): Encoded {
  if (value.length > MAX_VALUE_BYTES) {
    throw new KataError("invalid-argument", {
      operation: "encode netlink attribute",
      object: `${value.length} bytes in attribute ${type & NLA_TYPE_MASK}`,
    });
  }
  const bytes = new Uint8Array(pad(HEADER_BYTES + value.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, HEADER_BYTES + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, HEADER_BYTES);
  return bytes;
}

export function u8Attribute(type: number, value: number): Encoded {
  return attribute(type, new Uint8Array([value]));
}

export function u16Attribute(type: number, value: number): Encoded {
  return attribute(
    type,
    structure(2, (view) => view.setUint16(0, value, true)),
  );
}

/** A u16 in network byte order: protocol numbers of Ethernet, ports. */
export function u16BigEndianAttribute(type: number, value: number): Encoded {
  return attribute(
    type,
    structure(2, (view) => view.setUint16(0, value)),
  );
}

export function u32Attribute(type: number, value: number): Encoded {
  return attribute(
    type,
    structure(4, (view) => view.setUint32(0, value, true)),
  );
}

/** Text with its NUL. */
export function textAttribute(type: number, text: string): Encoded {
  return attribute(type, concatenate([utf8Encode(text), new Uint8Array(1)]));
}

/** An attribute that holds attributes. @param flag false for the old families that do not know `NLA_F_NESTED`. */
export function nestedAttribute(type: number, parts: readonly Uint8Array[], flag = true): Encoded {
  return attribute(flag ? type | NLA_F_NESTED : type, concatenate(parts));
}

export interface Attribute {
  /** Without its flags. */
  readonly type: number;
  readonly value: Uint8Array;
}

/**
 * The attributes in `bytes`, in order; the values are views of it.
 *
 * @throws KataError `malformed-message` for a length that does not fit.
 */
export function parseAttributes(bytes: Uint8Array): Attribute[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const attributes: Attribute[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < HEADER_BYTES || at + length > bytes.length) {
      throw new KataError("malformed-message", {
        operation: "parse netlink attribute",
        object: `length ${length} at ${at} of ${bytes.length} bytes`,
      });
    }
    attributes.push({
      type: view.getUint16(at + 2, true) & NLA_TYPE_MASK,
      value: bytes.subarray(at + HEADER_BYTES, at + length),
    });
    at += pad(length);
  }
  return attributes;
}

/** Attributes by type, with readers that answer undefined for one that is missing or too short. */
export class AttributeMap {
  readonly #values = new Map<number, Uint8Array>();

  /** @param bytes attributes; of several with one type the last counts. */
  constructor(bytes: Uint8Array) {
    for (const { type, value } of parseAttributes(bytes)) this.#values.set(type, value);
  }

  bytes(type: number): Uint8Array | undefined {
    return this.#values.get(type);
  }

  u8(type: number): number | undefined {
    return this.#values.get(type)?.[0];
  }

  u16(type: number): number | undefined {
    return this.#read(type, 2, (view) => view.getUint16(0, true));
  }

  u32(type: number): number | undefined {
    return this.#read(type, 4, (view) => view.getUint32(0, true));
  }

  text(type: number): string | undefined {
    const value = this.#values.get(type);
    return value === undefined ? undefined : fromCString(value);
  }

  /** What is in a nested attribute; an empty map if it is missing. */
  nested(type: number): AttributeMap {
    return new AttributeMap(this.#values.get(type) ?? new Uint8Array(0));
  }

  #read(type: number, size: number, get: (view: DataView) => number): number | undefined {
    const value = this.#values.get(type);
    if (value === undefined || value.length < size) return undefined;
    return get(new DataView(value.buffer, value.byteOffset, value.length));
  }
}
