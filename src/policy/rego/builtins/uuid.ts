/** UUIDs. Source: RFC 9562; DCE 1.1 for version 2; OPA policy reference, "UUID". */
import { builtin } from "../builtin-registry.ts";
import { fromBigInt } from "../decimal.ts";
import { RegoObject, type Value } from "../values.ts";

const UUID = /^(?:urn:uuid:)?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})$/i;
/** With one character around it, whichever: Go's library expects braces but does not look. */
const BRACED_LENGTH = 38;
/** Ticks of 100 ns between 1582-10-15 and 1970-01-01. */
const GREGORIAN_TICKS = 0x01b21dd213814000n;
const DOMAINS = ["Person", "Group", "Org"];

function parseUuid(text: string): RegoObject | undefined {
  const match = UUID.exec(text.length === BRACED_LENGTH ? text.slice(1, -1) : text);
  if (!match) return undefined;
  const [, low = "", middle = "", high = "", clock = "", node = ""] = match;
  const version = Number.parseInt(high.slice(0, 1), 16);
  const clockBits = Number.parseInt(clock, 16);
  const result = new RegoObject();
  result.set("version", version);
  result.set("variant", variantName(clockBits));
  const gregorian = (ticks: bigint) => result.set("time", fromBigInt((ticks - GREGORIAN_TICKS) * 100n));
  if (version === 1 || version === 2) {
    gregorian(BigInt(`0x${high.slice(1)}${middle}${low}`));
    result.set("nodeid", (node.toLowerCase().match(/../g) ?? []).join("-"));
    result.set("macvariables", macVariables(Number.parseInt(node.slice(0, 2), 16)));
    // Version 2 keeps a domain in the low byte.
    result.set("clocksequence", version === 1 ? clockBits & 0x3fff : clockBits & 0x3f00);
  }
  if (version === 2) {
    result.set("id", Number.parseInt(low, 16));
    const domain = clockBits & 0xff;
    result.set("domain", DOMAINS[domain] ?? `Domain${domain}`);
  }
  if (version === 6) gregorian(BigInt(`0x${low}${middle}${high.slice(1)}`));
  if (version === 7) result.set("time", fromBigInt(BigInt(`0x${low}${middle}`) * 1_000_000n));
  return result;
}

function variantName(clockBits: number): string {
  if ((clockBits & 0xc000) === 0x8000) return "RFC4122";
  if ((clockBits & 0xe000) === 0xc000) return "Microsoft";
  return (clockBits & 0xe000) === 0xe000 ? "Future" : "Reserved";
}

function macVariables(firstByte: number): string {
  return `${firstByte & 2 ? "local" : "global"}:${firstByte & 1 ? "multicast" : "unicast"}`;
}

function randomUuid(random: () => number): string {
  const digit = (limit: number, offset = 0) => (Math.floor(random() * limit) + offset).toString(16);
  const digits = (count: number) => Array.from({ length: count }, () => digit(16)).join("");
  return `${digits(8)}-${digits(4)}-4${digits(3)}-${digit(4, 8)}${digits(3)}-${digits(12)}`;
}

export const UUIDS = [
  builtin("uuid.parse", "s", ([text]): Value | undefined => parseUuid(typeof text === "string" ? text : "")),
  builtin("uuid.rfc4122", "s", ([name], { run, host }) => {
    const key = `uuid ${name}`;
    const known = run.once.get(key);
    if (known !== undefined) return known;
    const value = randomUuid(host.random ?? Math.random);
    run.once.set(key, value);
    return value;
  }),
];
