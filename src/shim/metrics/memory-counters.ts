/** The kernel's memory counters under either version's names: a guest may have another version of cgroups than its host. */

/** A counter by the first of its names that is there; undefined if none is. */
export function counter(
  details: Readonly<Record<string, number>>,
  ...names: readonly string[]
): number | undefined {
  const name = names.find((each) => Object.hasOwn(details, each));
  return name === undefined ? undefined : details[name];
}

/** Largest number that stays one in 64 bits. */
const LARGEST = (1n << 64n) - 1n;

/** A counter as the wire has it. @param value counters beyond 2^53 stand for "no limit" and may have lost digits. */
export function wireCounter(value: number | undefined): bigint | undefined {
  if (value === undefined || Number.isNaN(value)) return undefined;
  if (value < 0) return 0n;
  const whole = value >= 2 ** 64 ? LARGEST : BigInt(Math.floor(value));
  return whole;
}
