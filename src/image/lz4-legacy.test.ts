import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { decompressLegacyLz4, isLegacyLz4 } from "./lz4-legacy.ts";

const MAGIC = [0x02, 0x21, 0x4c, 0x18];

/** One sequence: literals, and then a match unless it is the block's last. Source: lz4_Block_format.md. */
type Sequence = { readonly literals: Uint8Array; readonly match?: { distance: number; length: number } };

function lengthBytes(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value - 15; ; rest -= 255) {
    bytes.push(Math.min(rest, 255));
    if (rest < 255) return bytes;
  }
}

function encode(sequences: readonly Sequence[]): number[] {
  return sequences.flatMap(({ literals, match }) => {
    const long = literals.length >= 15 ? lengthBytes(literals.length) : [];
    const matchLength = match === undefined ? 0 : match.length - 4;
    const token = (Math.min(literals.length, 15) << 4) | Math.min(matchLength, 15);
    const tail =
      match === undefined
        ? []
        : [match.distance & 255, match.distance >> 8, ...(matchLength >= 15 ? lengthBytes(matchLength) : [])];
    return [token, ...long, ...literals, ...tail];
  });
}

function frame(...blocks: readonly (readonly number[])[]): Uint8Array {
  const size = (length: number) => [length & 255, (length >> 8) & 255, (length >> 16) & 255, length >>> 24];
  return Uint8Array.from([...MAGIC, ...blocks.flatMap((block) => [...size(block.length), ...block])]);
}

/** What `sequences` mean, byte by byte. */
function expand(sequences: readonly Sequence[]): Uint8Array {
  const output: number[] = [];
  for (const { literals, match } of sequences) {
    output.push(...literals);
    for (let left = match?.length ?? 0; left > 0; left--)
      output.push(output[output.length - (match?.distance ?? 0)] ?? -1);
  }
  return Uint8Array.from(output);
}

const literals = fc.uint8Array({ minLength: 1, maxLength: 300 });
const sequences = fc
  .array(fc.record({ literals, distance: fc.nat(), length: fc.integer({ min: 4, max: 600 }) }), {
    maxLength: 8,
  })
  .chain((list) =>
    literals.map((last) => {
      let written = 0;
      const all = list.map((part): Sequence => {
        written += part.literals.length;
        const distance = 1 + (part.distance % Math.min(written, 65_535));
        written += part.length;
        return { literals: part.literals, match: { distance, length: part.length } };
      });
      return [...all, { literals: last }];
    }),
  );

describe("decompressLegacyLz4", () => {
  test("gives back literals and matches of any length, overlapping ones too", () => {
    fc.assert(
      fc.property(sequences, (list) => {
        const expected = expand(list);
        expect(decompressLegacyLz4(frame(encode(list)), expected.length)).toEqual(expected);
      }),
    );
  });

  test("repeats one byte when a match begins one byte back", () => {
    const list: Sequence[] = [
      { literals: Uint8Array.of(7), match: { distance: 1, length: 1000 } },
      { literals: Uint8Array.of(9) },
    ];
    const expected = new Uint8Array(1002).fill(7);
    expected[1001] = 9;
    expect(decompressLegacyLz4(frame(encode(list)), 1002)).toEqual(expected);
  });

  test("refuses hostile bytes with its own error and never gives another size", () => {
    const bytes = fc.uint8Array({ maxLength: 200 }).map((tail) => Uint8Array.from([...MAGIC, ...tail]));
    fc.assert(
      fc.property(fc.oneof(bytes, fc.uint8Array()), fc.nat(5000), (data, size) => {
        try {
          expect(decompressLegacyLz4(data, size)).toHaveLength(size);
        } catch (error) {
          expect(error).toBeInstanceOf(KataError);
          expect((error as KataError).code).toBe("malformed-lz4");
        }
      }),
      { numRuns: 2000 },
    );
  });

  const one = Uint8Array.of(1);
  const refused: [what: string, data: Uint8Array, size: number][] = [
    ["another magic number", Uint8Array.of(1, 2, 3, 4, 0, 0, 0, 0), 1],
    ["fewer bytes than announced", frame(encode([{ literals: one }])), 2],
    ["more bytes than announced", frame(encode([{ literals: Uint8Array.of(1, 2) }])), 1],
    ["a block beyond the end", Uint8Array.of(...MAGIC, 200, 0, 0, 0, 1), 1],
    [
      "a match before the beginning",
      frame(encode([{ literals: one, match: { distance: 2, length: 4 } }])),
      5,
    ],
    ["a match with distance 0", frame(encode([{ literals: one, match: { distance: 0, length: 4 } }])), 5],
  ];
  for (const [what, data, size] of refused) {
    test(`refuses ${what}`, () => {
      expect(() => decompressLegacyLz4(data, size)).toThrow(KataError);
    });
  }

  test("is told apart by its magic number", () => {
    expect(isLegacyLz4(frame())).toBe(true);
    expect(isLegacyLz4(Uint8Array.of(2, 0x21, 0x4c))).toBe(false);
    expect(isLegacyLz4(Uint8Array.of(0x1f, 0x8b, 8, 0))).toBe(false);
  });
});
