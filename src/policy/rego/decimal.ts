/**
 * Rego numbers: a JavaScript number where its shortest decimal form is the exact value, a {@link Decimal} otherwise.
 *
 * So `0.1` and `12` are plain numbers, while integers past 2^53 and fractions with more digits than a double keeps
 * are coefficient × 10^exponent over BigInt. Sums, differences and products are exact; a quotient is exact if it is
 * an integer, else the double (or 34 digits for operands that no double holds).
 * Source: OPA policy language, "Scalar values"; JSON (RFC 8259) numbers have arbitrary precision there.
 */

import { limitError } from "./fault.ts";

/** Most digits that one number may have, and its largest exponent; others are refused as a resource limit, not silently rounded. */
export const MAX_DIGITS = 20_000;
/** A coefficient with fewer hexadecimal digits has at most {@link MAX_DIGITS} decimal ones: log 10 / log 16 = 0.8305. */
const MAX_HEX_DIGITS = Math.floor(MAX_DIGITS * 0.8305);
/** 10^(2^k) for the k that {@link MAX_DIGITS} asks for, the largest first: trailing zeros go in as many divisions. */
const POWERS_OF_TEN: readonly { readonly power: number; readonly value: bigint }[] = Array.from(
  { length: 15 },
  (_, k) => ({ power: 2 ** (14 - k), value: 10n ** BigInt(2 ** (14 - k)) }),
);

/** An exact decimal that no JavaScript number stands for; `coefficient` is not a multiple of ten unless it is 0. */
export class Decimal {
  readonly coefficient: bigint;
  readonly exponent: number;

  constructor(coefficient: bigint, exponent: number) {
    this.coefficient = coefficient;
    this.exponent = exponent;
  }
}

export type RegoNumber = number | Decimal;

const NUMBER_TEXT = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
const DIVISION_DIGITS = 34;

/** The number that `text` (JSON's form, leading zeros tolerated) denotes, or undefined if it is none or has too many digits. */
export function parseNumber(text: string): RegoNumber | undefined {
  if (text.length < 16 && /^-?\d+$/.test(text)) return Number(text) + 0;
  const match = NUMBER_TEXT.exec(text);
  if (!match) return undefined;
  const [, sign, whole = "", fraction = "", power = "0"] = match;
  const exponent = Number(power) - fraction.length;
  if (whole.length + fraction.length > MAX_DIGITS || Math.abs(exponent) > MAX_DIGITS) return undefined;
  const coefficient = BigInt(whole + fraction);
  return fromDecimal(sign === "-" ? -coefficient : coefficient, exponent);
}

/** How many hexadecimal digits the number's coefficient has: what one operation on it costs. */
export function sizeOf(value: RegoNumber): number {
  return typeof value === "number" ? 1 : value.coefficient.toString(16).length;
}

/**
 * The Rego number coefficient × 10^exponent.
 *
 * @throws KataError `policy-limit` past {@link MAX_DIGITS}.
 */
export function fromDecimal(coefficient: bigint, exponent: number): RegoNumber {
  if (coefficient === 0n) return 0;
  let digits = coefficient;
  let power = exponent;
  if (digits % 10n === 0n) {
    for (const { power: zeros, value } of POWERS_OF_TEN) {
      while (digits % value === 0n) {
        digits /= value;
        power += zeros;
      }
    }
  }
  // 2^53 has 16 digits: shorter coefficients need no measuring.
  const isLong = digits > Number.MAX_SAFE_INTEGER || digits < -Number.MAX_SAFE_INTEGER;
  if (Math.abs(power) > MAX_DIGITS || (isLong && digits.toString(16).length > MAX_HEX_DIGITS))
    throw limitError("digits of a number", MAX_DIGITS);
  const asNumber = Number(`${digits}e${power}`);
  if (Number.isFinite(asNumber) && asNumber !== 0) {
    const back = split(asNumber);
    if (back.coefficient === digits && back.exponent === power) return asNumber;
  }
  return new Decimal(digits, power);
}

/** The Rego number of an integer. */
export function fromBigInt(value: bigint): RegoNumber {
  const asNumber = Number(value);
  return Number.isSafeInteger(asNumber) ? asNumber : fromDecimal(value, 0);
}

/** Coefficient and exponent of the decimal that `value` stands for, without trailing zeros. */
export function split(value: RegoNumber): { readonly coefficient: bigint; readonly exponent: number } {
  if (typeof value !== "number") return value;
  if (value === 0) return { coefficient: 0n, exponent: 0 };
  const text = value.toExponential();
  const at = text.indexOf("e");
  const mantissa = text.slice(0, at);
  const point = mantissa.indexOf(".");
  const fraction = point < 0 ? 0 : mantissa.length - point - 1;
  return { coefficient: BigInt(mantissa.replace(".", "")), exponent: Number(text.slice(at + 1)) - fraction };
}

/** True if `value` has no fraction. */
export function isInteger(value: RegoNumber): boolean {
  return typeof value === "number" ? Number.isInteger(value) : value.exponent >= 0;
}

/** The integer as a BigInt, or undefined if `value` has a fraction or too many digits. */
export function toBigInt(value: RegoNumber): bigint | undefined {
  if (typeof value === "number") {
    if (!Number.isInteger(value)) return undefined;
    if (Number.isSafeInteger(value)) return BigInt(value);
  }
  const { coefficient, exponent } = split(value);
  if (exponent < 0 || exponent > MAX_DIGITS) return undefined;
  return coefficient * 10n ** BigInt(exponent);
}

/** The nearest double. */
export function toDouble(value: RegoNumber): number {
  return typeof value === "number" ? value : Number(`${value.coefficient}e${value.exponent}`);
}

/** -1, 0 or 1 as `a` is less than, equal to or greater than `b`. */
export function compareNumbers(a: RegoNumber, b: RegoNumber): number {
  if (typeof a === "number" && typeof b === "number") return a < b ? -1 : a > b ? 1 : 0;
  const [left, right] = align(a, b);
  return left < right ? -1 : left > right ? 1 : 0;
}

export function add(a: RegoNumber, b: RegoNumber): RegoNumber {
  if (typeof a === "number" && typeof b === "number") {
    const sum = a + b;
    if (Number.isInteger(a) && Number.isInteger(b) && Number.isSafeInteger(sum)) return sum + 0;
  }
  const [left, right, exponent] = align(a, b);
  return fromDecimal(left + right, exponent);
}

export function subtract(a: RegoNumber, b: RegoNumber): RegoNumber {
  return add(a, negate(b));
}

export function negate(value: RegoNumber): RegoNumber {
  return typeof value === "number" ? 0 - value : new Decimal(-value.coefficient, value.exponent);
}

export function multiply(a: RegoNumber, b: RegoNumber): RegoNumber {
  if (typeof a === "number" && typeof b === "number") {
    const product = a * b;
    if (Number.isInteger(a) && Number.isInteger(b) && Number.isSafeInteger(product)) return product + 0;
  }
  const left = split(a);
  const right = split(b);
  return fromDecimal(left.coefficient * right.coefficient, left.exponent + right.exponent);
}

/** `a / b`; undefined if `b` is 0. */
export function divide(a: RegoNumber, b: RegoNumber): RegoNumber | undefined {
  if (compareNumbers(b, 0) === 0) return undefined;
  if (typeof a === "number" && typeof b === "number") {
    const quotient = a / b;
    if (!Number.isInteger(quotient) || Number.isSafeInteger(quotient)) return quotient + 0;
  }
  const [left, right] = align(a, b);
  if (left % right === 0n) return fromBigInt(left / right);
  const scale = DIVISION_DIGITS + Math.max(0, `${right}`.length - `${left}`.length);
  return fromDecimal((left * 10n ** BigInt(scale)) / right, -scale);
}

/** The remainder of two integers, with the sign of `a`; undefined if `b` is 0 or either has a fraction. */
export function remainder(a: RegoNumber, b: RegoNumber): RegoNumber | undefined {
  const left = toBigInt(a);
  const right = toBigInt(b);
  if (left === undefined || right === undefined || right === 0n) return undefined;
  return fromBigInt(left % right);
}

export type Rounding = "floor" | "ceil" | "half-away-from-zero";

/** The integer next to `value` in the direction of `rounding`. */
export function roundTo(value: RegoNumber, rounding: Rounding): RegoNumber {
  if (isInteger(value)) return value;
  const { coefficient, exponent } = split(value);
  const unit = 10n ** BigInt(-exponent);
  const truncated = coefficient / unit;
  const rest = coefficient % unit;
  const step = coefficient < 0n ? -1n : 1n;
  switch (rounding) {
    case "floor":
      return fromBigInt(coefficient < 0n ? truncated - 1n : truncated);
    case "ceil":
      return fromBigInt(coefficient < 0n ? truncated : truncated + 1n);
    case "half-away-from-zero":
      return fromBigInt(rest * step * 2n >= unit ? truncated + step : truncated);
  }
}

/** JSON's text of a number: integers in full up to 21 digits, an exponent past that. */
export function formatNumber(value: RegoNumber): string {
  if (typeof value === "number" && Number.isSafeInteger(value)) return `${value + 0}`;
  const { coefficient, exponent } = split(value);
  const negative = coefficient < 0n;
  const digits = `${negative ? -coefficient : coefficient}`;
  const sign = negative ? "-" : "";
  const pointAt = digits.length + exponent;
  if (exponent >= 0) {
    if (pointAt <= 400) return sign + digits + "0".repeat(exponent);
  } else if (pointAt > 0) {
    return `${sign}${digits.slice(0, pointAt)}.${digits.slice(pointAt)}`;
  } else if (pointAt > -6) {
    return `${sign}0.${"0".repeat(-pointAt)}${digits}`;
  }
  const mantissa = digits.length === 1 ? digits : `${digits[0]}.${digits.slice(1)}`;
  return `${sign}${mantissa}e${pointAt - 1 < 0 ? "-" : "+"}${`${Math.abs(pointAt - 1)}`.padStart(2, "0")}`;
}

function align(a: RegoNumber, b: RegoNumber): [bigint, bigint, number] {
  const left = split(a);
  const right = split(b);
  const exponent = Math.min(left.exponent, right.exponent);
  return [
    left.coefficient * 10n ** BigInt(left.exponent - exponent),
    right.coefficient * 10n ** BigInt(right.exponent - exponent),
    exponent,
  ];
}
