/** Bytes that somebody chose to do harm, as fast-check arbitraries. */
import fc from "fast-check";

/** One way to spoil a proper encoding. */
export type Damage =
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "replace"; readonly at: number; readonly byte: number }
  | { readonly kind: "repeat"; readonly at: number; readonly length: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array };

const place = fc.nat({ max: 4096 });

export const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ kind: fc.constant("cut" as const), at: place }),
  fc.record({ kind: fc.constant("flip" as const), at: place, bit: fc.nat({ max: 7 }) }),
  // What a length, a tag or the first byte of a long varint most likely breaks on.
  fc.record({
    kind: fc.constant("replace" as const),
    at: place,
    byte: fc.constantFrom(0, 0x7f, 0x80, 0xff, 0x0b, 0x0c, 0x0f),
  }),
  fc.record({ kind: fc.constant("repeat" as const), at: place, length: fc.nat({ max: 64 }) }),
  fc.record({ kind: fc.constant("insert" as const), at: place, bytes: fc.uint8Array({ maxLength: 16 }) }),
);

export function spoil(bytes: Uint8Array, how: Damage): Uint8Array {
  const at = bytes.length === 0 ? 0 : how.at % bytes.length;
  switch (how.kind) {
    case "cut":
      return bytes.slice(0, at);
    case "flip":
      return withByte(bytes, at, (byte) => byte ^ (1 << how.bit));
    case "replace":
      return withByte(bytes, at, () => how.byte);
    case "repeat":
      return Uint8Array.from([...bytes.subarray(0, at + how.length), ...bytes.subarray(at)]);
    case "insert":
      return Uint8Array.from([...bytes.subarray(0, at), ...how.bytes, ...bytes.subarray(at)]);
  }
}

function withByte(bytes: Uint8Array, at: number, change: (byte: number) => number): Uint8Array {
  const changed = bytes.slice();
  if (at < changed.length) changed[at] = change(changed[at] ?? 0);
  return changed;
}
