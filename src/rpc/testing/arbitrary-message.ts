/** Random messages for a descriptor, as fast-check arbitraries: what is encoded, and what decoding has to give back. */
import fc from "fast-check";
import type { Field, Message, Scalar } from "../../../scripts/proto/descriptor.ts";
import { fieldName } from "../../../scripts/proto/names.ts";
import { messageOf } from "./all-messages.ts";

export interface Example {
  /** For the encoder. */
  readonly input: Readonly<Record<string, unknown>>;
  /** What the decoder makes of it. */
  readonly decoded: Readonly<Record<string, unknown>>;
}

interface ValueExample {
  readonly input: unknown;
  readonly decoded: unknown;
}

const same = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<ValueExample> =>
  arbitrary.map((value) => ({ input: value, decoded: value }));

/** Around the ends and the lengths of varints; as a number where one can say it. */
const wide = (low: bigint, high: bigint): fc.Arbitrary<ValueExample> =>
  fc
    .oneof(
      fc.bigInt(low, high),
      fc.bigInt(low < 0n ? -300n : 0n, 300n),
      fc.constantFrom(low, high, 2n ** 53n),
    )
    .chain((value) =>
      Number.isSafeInteger(Number(value))
        ? fc.constantFrom<ValueExample>(
            { input: value, decoded: value },
            { input: Number(value), decoded: value },
          )
        : fc.constant({ input: value, decoded: value }),
    );

const narrow = (low: number, high: number): fc.Arbitrary<ValueExample> =>
  same(fc.oneof(fc.integer({ min: low, max: high }), fc.integer({ min: Math.max(low, -300), max: 300 })));

const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.integer({ min: 120, max: 140 }).map((length) => "x".repeat(length)),
);

const SCALAR_EXAMPLES: Readonly<Record<Scalar, fc.Arbitrary<ValueExample>>> = {
  double: same(fc.double()),
  float: same(fc.float()),
  int32: narrow(-0x8000_0000, 0x7fff_ffff),
  uint32: narrow(0, 0xffff_ffff),
  int64: wide(-(2n ** 63n), 2n ** 63n - 1n),
  uint64: wide(0n, 2n ** 64n - 1n),
  bool: same(fc.boolean()),
  string: same(text),
  bytes: same(fc.uint8Array({ maxLength: 200 })),
};

const ZEROS: Readonly<Record<Scalar, unknown>> = {
  double: 0,
  float: 0,
  int32: 0,
  uint32: 0,
  int64: 0n,
  uint64: 0n,
  bool: false,
  string: "",
  bytes: new Uint8Array(0),
};

/** Examples of `message`; every field is there or not. */
export function exampleOf(message: Message): fc.Arbitrary<Example> {
  const fields = message.fields.map((field) =>
    fc.option(fieldExample(field), { nil: undefined, freq: 3 }).map((value) => ({ field, value })),
  );
  return fc.tuple(...fields).map((values) => {
    const input: Record<string, unknown> = {};
    const decoded: Record<string, unknown> = {};
    for (const { field, value } of values) {
      const name = fieldName(field.name);
      if (value !== undefined) input[name] = value.input;
      const there = value === undefined ? absent(field) : value.decoded;
      if (there !== undefined) decoded[name] = there;
    }
    return { input, decoded };
  });
}

/** What decoding gives for a field that does not occur. */
function absent(field: Field): unknown {
  const { label, type } = field;
  if (label.kind === "repeated") return [];
  if (label.kind === "map") return new Map();
  if (label.kind !== "singular" || type.kind === "message") return undefined;
  return type.kind === "enum" ? 0 : ZEROS[type.scalar];
}

function fieldExample(field: Field): fc.Arbitrary<ValueExample> {
  const one = valueExample(field);
  if (field.label.kind === "repeated") {
    return fc.array(one, { maxLength: 3 }).map((values) => ({
      input: values.map(({ input }) => input),
      decoded: values.map(({ decoded }) => decoded),
    }));
  }
  if (field.label.kind === "map") {
    return fc
      .tuple(fc.uniqueArray(fc.tuple(text, one), { maxLength: 3, selector: ([key]) => key }), fc.boolean())
      .map(([entries, asMap]) => ({
        input: asMap
          ? new Map(entries.map(([key, { input }]) => [key, input]))
          : Object.fromEntries(entries.map(([key, { input }]) => [key, input])),
        decoded: new Map(entries.map(([key, { decoded }]) => [key, decoded])),
      }));
  }
  return one;
}

function valueExample(field: Field): fc.Arbitrary<ValueExample> {
  if (field.type.kind === "message") return exampleOf(messageOf(field));
  return SCALAR_EXAMPLES[field.type.kind === "enum" ? "int32" : field.type.scalar];
}
