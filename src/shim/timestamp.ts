/** Moments on the wire. Source: google.protobuf.Timestamp. */

export interface Timestamp {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** @param ms milliseconds since 1970, with fractions. */
export function timestampOf(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  // Rounded down: a fraction that rounds up to a whole second would be out of range.
  return { seconds: BigInt(seconds), nanos: Math.min(Math.floor((ms - seconds * 1000) * 1e6), 999_999_999) };
}
