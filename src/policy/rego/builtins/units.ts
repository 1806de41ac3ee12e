/** Quantities with unit letters. Source: OPA policy reference, "Units"; SI and IEC prefixes. */
import { builtin, fault } from "../builtin-registry.ts";
import { fromBigInt, fromDecimal, multiply, parseNumber, type RegoNumber, roundTo } from "../decimal.ts";
import type { Value } from "../values.ts";

const DECIMAL_PREFIXES = "kmgtpezyrq";
const AMOUNT = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(.*)$/s;

interface Quantity {
  readonly amount: RegoNumber;
  readonly unit: string;
}

function parseQuantity(name: string, value: Value | undefined): Quantity {
  const text = (typeof value === "string" ? value : "").replace(/"/g, "");
  if (text === "") throw fault(name, "no amount provided");
  if (/\s/.test(text)) throw fault(name, "spaces not allowed in resource strings");
  // `1E` and `1e` end in a unit, not in an exponent.
  const match = AMOUNT.exec(text);
  const amount = match?.[1] && parseNumber(normalize(match[1]));
  if (!match || amount === undefined || amount === "")
    throw fault(name, "could not parse amount to a number");
  return { amount, unit: match[2] ?? "" };
}

function normalize(amount: string): string {
  return amount
    .replace(/^\+/, "")
    .replace(/^(-?)\./, "$10.")
    .replace(/\.(?=$|[eE])/, "");
}

function prefixFactor(prefix: string, isBinary: boolean): RegoNumber | undefined {
  if (prefix === "") return isBinary ? undefined : 1;
  const power = DECIMAL_PREFIXES.indexOf(prefix) + 1;
  if (power === 0 || prefix.length !== 1) return undefined;
  return isBinary ? fromBigInt(1n << BigInt(10 * power)) : fromDecimal(1n, 3 * power);
}

function parseUnits(value: Value | undefined): RegoNumber {
  const { amount, unit } = parseQuantity("units.parse", value);
  // Milli and mega differ in case only.
  if (unit === "m") return multiply(amount, fromDecimal(1n, -3));
  const isBinary = /[iI]$/.test(unit);
  const prefix = (isBinary ? unit.slice(0, -1) : unit).toLowerCase();
  const factor = prefixFactor(prefix, isBinary);
  if (factor === undefined) throw fault("units.parse", `unit ${unit} not recognized`);
  return multiply(amount, factor);
}

function parseBytes(value: Value | undefined): RegoNumber {
  const { amount, unit } = parseQuantity("units.parse_bytes", value);
  const match = /^([a-z]?)(i?)b?$/.exec(unit.toLowerCase());
  const factor = unit.toLowerCase() === "b" ? 1 : match && prefixFactor(match[1] ?? "", match[2] === "i");
  if (factor === undefined || factor === null)
    throw fault("units.parse_bytes", `byte unit ${unit} not recognized`);
  return roundTo(multiply(amount, factor), "floor");
}

export const UNITS = [
  builtin("units.parse", "s", ([value]) => parseUnits(value)),
  builtin("units.parse_bytes", "s", ([value]) => parseBytes(value)),
];
