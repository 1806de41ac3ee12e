/**
 * IP addresses as text and as bytes.
 * Sources: RFC 4291 section 2.2 and RFC 5952 (IPv6 as text); inet_pton(3).
 */
import { KataError } from "../../kata-error.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;

/** Longest text of an address: an IPv6 address with an IPv4 one at its end. */
const MAX_TEXT = 45;

/** 4 or 16 bytes. @throws KataError `invalid-argument` for text that is no address. */
export function parseIpAddress(text: string): Uint8Array<ArrayBuffer> {
  const bytes = text.length > MAX_TEXT ? undefined : text.includes(":") ? parseV6(text) : parseV4(text);
  if (bytes !== undefined) return bytes;
  throw new KataError("invalid-argument", {
    operation: "read IP address",
    object: JSON.stringify(text.slice(0, MAX_TEXT)),
  });
}

function parseV4(text: string): Uint8Array<ArrayBuffer> | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[index] = Number(part);
  }
  return bytes;
}

function parseV6(text: string): Uint8Array<ArrayBuffer> | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === "" ? [] : parseGroups(half)));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const given = head.length + (tail?.length ?? 0);
  // "::" stands for at least one group.
  if (halves.length === 2 ? given > 7 : given !== 8) return undefined;
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (const [index, group] of head.entries()) view.setUint16(index * 2, group);
  for (const [index, group] of (tail ?? []).entries()) {
    view.setUint16(16 - ((tail?.length ?? 0) - index) * 2, group);
  }
  return bytes;
}

function parseGroups(text: string): number[] | undefined {
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const v4 = index === parts.length - 1 ? parseV4(part) : undefined;
    if (v4 === undefined) return undefined;
    const [a = 0, b = 0, c = 0, d = 0] = v4;
    groups.push((a << 8) | b, (c << 8) | d);
  }
  return groups;
}

/** The text of 4 or 16 bytes; of another count, "". */
export function formatIpAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return "";
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(index * 2));
  // ::ffff:0:0/96 is written with its IPv4 address.
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${bytes.subarray(12).join(".")}`;
  }
  const zeros = longestZeros(groups);
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (zeros.length < 2) return text(groups);
  return `${text(groups.slice(0, zeros.start))}::${text(groups.slice(zeros.start + zeros.length))}`;
}

/** The first of the longest runs of zero groups. */
function longestZeros(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

export interface IpPrefix {
  readonly address: Uint8Array<ArrayBuffer>;
  /** Bits. */
  readonly length: number;
}

/** Reads `10.0.0.0/8`; without a length, the whole address. @throws KataError `invalid-argument`. */
export function parseIpPrefix(text: string): IpPrefix {
  const slash = text.indexOf("/");
  const address = parseIpAddress(slash < 0 ? text : text.slice(0, slash));
  return {
    address,
    length: slash < 0 ? address.length * 8 : parsePrefixLength(text.slice(slash + 1), address),
  };
}

/** Bits of a prefix of `address`. @throws KataError `invalid-argument` unless they are within it. */
export function parsePrefixLength(text: string, address: Uint8Array): number {
  if (/^\d{1,3}$/.test(text) && Number(text) <= address.length * 8) return Number(text);
  throw new KataError("invalid-argument", {
    operation: "read prefix length",
    object: JSON.stringify(text.slice(0, 20)),
    hint: `it is 0 to ${address.length * 8}`,
  });
}

/** The family of an address of 4 or 16 bytes. */
export function familyOf(address: Uint8Array): number {
  return address.length === 4 ? AF_INET : AF_INET6;
}

/** 6 bytes of `02:00:00:00:00:01`. @throws KataError `invalid-argument`. */
export function parseMacAddress(text: string): Uint8Array<ArrayBuffer> {
  if (/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) {
    return new Uint8Array(text.split(":").map((part) => Number.parseInt(part, 16)));
  }
  throw new KataError("invalid-argument", {
    operation: "read hardware address",
    object: JSON.stringify(text.slice(0, 32)),
    hint: "it is six pairs of hexadecimal digits with colons between them",
  });
}

/** `02:00:00:00:00:01`, for any count of bytes. */
export function formatMacAddress(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
