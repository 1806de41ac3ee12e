/** IP networks. Source: OPA policy reference, "Net"; RFC 4632, RFC 4291. */
import { builtin, fault, stringsOf } from "../builtin-registry.ts";
import { isArray, RegoObject, RegoSet, type Value } from "../values.ts";

interface Network {
  readonly first: bigint;
  /** 32 or 128. */
  readonly bits: number;
  readonly prefix: number;
}

/** Most addresses that `net.cidr_expand` lists. */
const MAX_EXPANDED = 1 << 16;

function parseAddress(text: string): { readonly value: bigint; readonly bits: number } | undefined {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (four) {
    const parts = four.slice(1);
    if (parts.some((part) => Number(part) > 255 || (part.length > 1 && part.startsWith("0"))))
      return undefined;
    return { value: parts.reduce((value, part) => value * 256n + BigInt(part), 0n), bits: 32 };
  }
  return parseSix(text);
}

function parseSix(text: string): { readonly value: bigint; readonly bits: number } | undefined {
  let source = text;
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail) {
    const four = parseAddress(tail[2] ?? "");
    if (!four) return undefined;
    source = `${tail[1]}${(four.value >> 16n).toString(16)}:${(four.value & 0xffffn).toString(16)}`;
  }
  const halves = source.split("::");
  if (halves.length > 2 || !source.includes(":")) return undefined;
  const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
  const [left = [], right = []] = groups;
  const missing = 8 - left.length - right.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const all = halves.length === 1 ? left : [...left, ...new Array<string>(missing).fill("0"), ...right];
  if (!all.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return { value: all.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n), bits: 128 };
}

function parseNetwork(text: string): Network | undefined {
  const slash = text.indexOf("/");
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!address || slash < 0) return undefined;
  const prefixText = text.slice(slash + 1);
  const prefix = Number(prefixText);
  if (!/^(0|[1-9]\d{0,2})$/.test(prefixText) || prefix > address.bits) return undefined;
  const host = BigInt(address.bits - prefix);
  return { first: (address.value >> host) << host, bits: address.bits, prefix };
}

/** A network, or an address as the network of itself. */
function network(name: string, text: string): Network {
  const parsed = parseNetwork(text);
  if (parsed) return parsed;
  const address = parseAddress(text);
  if (!address) throw fault(name, `invalid CIDR address: ${text}`);
  return { first: address.value, bits: address.bits, prefix: address.bits };
}

function strictNetwork(name: string, text: string): Network {
  const parsed = parseNetwork(text);
  if (!parsed) throw fault(name, `invalid CIDR address: ${text}`);
  return parsed;
}

/** A network, or the one that an IPv4 address is in by its class, as Go's default masks have it. */
function classfulNetwork(text: string): Network {
  if (text.includes("/")) return strictNetwork("net.cidr_merge", text);
  const address = parseAddress(text);
  if (address?.bits !== 32) throw fault("net.cidr_merge", `${text} needs a prefix length`);
  const firstByte = Number(address.value >> 24n);
  const prefix = firstByte < 128 ? 8 : firstByte < 192 ? 16 : 24;
  return strictNetwork("net.cidr_merge", `${text}/${prefix}`);
}

const last = ({ first, bits, prefix }: Network) => first + (1n << BigInt(bits - prefix)) - 1n;

function contains(whole: Network, part: Network): boolean {
  return whole.bits === part.bits && whole.first <= part.first && last(part) <= last(whole);
}

function overlaps(a: Network, b: Network): boolean {
  return a.bits === b.bits && a.first <= last(b) && b.first <= last(a);
}

/** An address as text. Source: RFC 5952. */
function formatAddress(value: bigint, bits: number): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => `${(value >> shift) & 255n}`).join(".");
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16),
  );
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (groups[at + length] === "0") length++;
    if (length > best.length) best = { at, length };
  }
  if (best.at < 0) return groups.join(":");
  return `${groups.slice(0, best.at).join(":")}::${groups.slice(best.at + best.length).join(":")}`;
}

/** The fewest networks that hold the same addresses. */
function merge(networks: readonly Network[]): Network[] {
  const sorted = [...networks].sort(
    (a, b) => a.bits - b.bits || (a.first < b.first ? -1 : a.first > b.first ? 1 : a.prefix - b.prefix),
  );
  const ranges: { first: bigint; last: bigint; readonly bits: number }[] = [];
  for (const one of sorted) {
    const previous = ranges.at(-1);
    if (previous && previous.bits === one.bits && one.first <= previous.last + 1n) {
      if (last(one) > previous.last) previous.last = last(one);
    } else {
      ranges.push({ first: one.first, last: last(one), bits: one.bits });
    }
  }
  return ranges.flatMap(coverRange);
}

function coverRange(range: {
  readonly first: bigint;
  readonly last: bigint;
  readonly bits: number;
}): Network[] {
  const found: Network[] = [];
  for (let first = range.first; first <= range.last; ) {
    let host = 0;
    // As large a block as the start is aligned for and the end allows.
    while (host < range.bits) {
      const size = 1n << BigInt(host + 1);
      if (first % size !== 0n || first + size - 1n > range.last) break;
      host++;
    }
    found.push({ first, bits: range.bits, prefix: range.bits - host });
    first += 1n << BigInt(host);
  }
  return found;
}

/** Networks with the key by which a match names them. */
function labelled(
  name: string,
  index: number,
  value: Value | undefined,
): { readonly key: Value; readonly network: Network }[] {
  const one = (key: Value, item: Value): { key: Value; network: Network } => {
    const text = isArray(item) ? item[0] : item;
    if (typeof text !== "string")
      throw fault(name, `operand ${index + 1}: an element must be a string or an array that begins with one`);
    return { key, network: network(name, text) };
  };
  if (typeof value === "string") return [one(value, value)];
  if (isArray(value)) return value.map((item, i) => one(i, item));
  if (value instanceof RegoSet) return value.values().map((item) => one(item, item));
  if (value instanceof RegoObject) return [...value.entries()].map(([key, item]) => one(key, item));
  throw fault(name, `operand ${index + 1} must be a string or a collection of strings`);
}

const text = (value: Value | undefined) => (typeof value === "string" ? value : "");

export const NETWORKS = [
  builtin("net.cidr_contains", "s,s", ([whole, part]) => {
    const name = "net.cidr_contains";
    return contains(strictNetwork(name, text(whole)), network(name, text(part)));
  }),
  builtin("net.cidr_overlap", "s,s", ([whole, part]) => {
    const name = "net.cidr_overlap";
    return contains(strictNetwork(name, text(whole)), network(name, text(part)));
  }),
  builtin("net.cidr_intersects", "s,s", ([a, b]) => {
    const name = "net.cidr_intersects";
    return overlaps(strictNetwork(name, text(a)), strictNetwork(name, text(b)));
  }),
  builtin(
    "net.cidr_is_valid",
    "*",
    ([value]) => typeof value === "string" && parseNetwork(value) !== undefined,
  ),
  builtin("net.cidr_contains_matches", "saoS,saoS", ([wholes, parts], { run }) => {
    const name = "net.cidr_contains_matches";
    const found = new RegoSet();
    const inner = labelled(name, 1, parts);
    for (const whole of labelled(name, 0, wholes)) {
      run.spend(inner.length);
      for (const part of inner) if (contains(whole.network, part.network)) found.add([whole.key, part.key]);
    }
    return found;
  }),
  builtin("net.cidr_expand", "s", ([value], { run }) => {
    const { first, bits, prefix } = strictNetwork("net.cidr_expand", text(value));
    const count = 2 ** (bits - prefix);
    if (count > MAX_EXPANDED) throw fault("net.cidr_expand", `more than ${MAX_EXPANDED} addresses`);
    run.charge(count);
    return RegoSet.of(Array.from({ length: count }, (_, i) => formatAddress(first + BigInt(i), bits)));
  }),
  builtin("net.cidr_merge", "aS", ([value], { run }) => {
    const texts = stringsOf("net.cidr_merge", 0, value as Value);
    run.spend(texts.length * 128);
    const networks = texts.map(classfulNetwork);
    return RegoSet.of(
      merge(networks).map(({ first, bits, prefix }) => `${formatAddress(first, bits)}/${prefix}`),
    );
  }),
  builtin("net.lookup_ip_addr", "s", ([name]) => {
    throw fault("net.lookup_ip_addr", `no network to look up ${JSON.stringify(name)}`);
  }),
];
