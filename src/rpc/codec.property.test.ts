/** All generated codecs: against themselves, against another implementation, and against hostile bytes. */
import { join } from "node:path";
import fc from "fast-check";
import protobufjs from "protobufjs";
import { describe, expect, test } from "vitest";
import type { Field, Message } from "../../scripts/proto/descriptor.ts";
import { fieldName } from "../../scripts/proto/names.ts";
import { hasCode } from "../kata-error.ts";
import { type Codec, loadCodecs, messageOf, protoFiles, REPOSITORY } from "./testing/all-messages.ts";
import { exampleOf } from "./testing/arbitrary-message.ts";
import { damage, spoil } from "./testing/hostile-bytes.ts";

/** Over all messages together, about. */
const EXAMPLES = 12_000;
const DAMAGED = 90_000;
const RANDOM = 30_000;

const codecs = await loadCodecs();
const perMessage = (total: number) => Math.ceil(total / codecs.length);

/** The other implementation, which reads the .proto files itself. */
const oracle = new protobufjs.Root();
oracle.resolvePath = (_origin, target) => join(REPOSITORY, "proto", target);
oracle.loadSync(
  protoFiles.map((file) => file.path),
  { keepCase: true },
);
oracle.resolveAll();

type Plain = Record<string, unknown>;

/** A decoded message of ours, as the other implementation shows its own: names of the file, 64 bits as text, bytes as base64, maps as objects. */
function asOracle(message: Message, value: Plain): Plain {
  const plain: Plain = {};
  for (const field of message.fields) {
    const there = value[fieldName(field.name)];
    if (there === undefined) continue;
    if (there instanceof Map) {
      plain[field.name] = Object.fromEntries([...there].map(([key, one]) => [key, oneAsOracle(field, one)]));
    } else if (Array.isArray(there)) plain[field.name] = there.map((one) => oneAsOracle(field, one));
    else plain[field.name] = oneAsOracle(field, there);
  }
  return plain;
}

function oneAsOracle(field: Field, value: unknown): unknown {
  if (field.type.kind === "message") return asOracle(messageOf(field), value as Plain);
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  return value;
}

/** Zeros and empty lists as well, as our decoder gives them. */
function decodeWithOracle(codec: Codec, bytes: Uint8Array): Plain {
  const type = oracle.lookupType(codec.name);
  const decoded = type.decode(bytes);
  const plain = type.toObject(decoded, {
    longs: String,
    bytes: String,
    defaults: true,
    arrays: true,
    objects: true,
  });
  return withoutAbsent(codec.message, plain);
}

/** The other implementation shows absent messages as null, and absent optional scalars as zeros. */
function withoutAbsent(message: Message, plain: Plain): Plain {
  const rest: Plain = {};
  for (const field of message.fields) {
    const value = plain[field.name];
    if (value === null || value === undefined) continue;
    if (field.type.kind !== "message") rest[field.name] = value;
    else if (Array.isArray(value))
      rest[field.name] = value.map((one: Plain) => withoutAbsent(messageOf(field), one));
    else if (field.label.kind === "map") {
      const entries = Object.entries(value as Record<string, Plain>);
      rest[field.name] = Object.fromEntries(
        entries.map(([key, one]) => [key, withoutAbsent(messageOf(field), one)]),
      );
    } else rest[field.name] = withoutAbsent(messageOf(field), value as Plain);
  }
  return rest;
}

describe("every message", () => {
  test(`is decoded to what was encoded, in about ${EXAMPLES} examples`, () => {
    for (const { message, encode, decode } of codecs) {
      fc.assert(
        fc.property(exampleOf(message), ({ input, decoded }) => {
          expect(decode(encode(input))).toEqual(decoded);
        }),
        { numRuns: perMessage(EXAMPLES) },
      );
    }
  });

  test("means to protobufjs what it means to us, both ways", () => {
    for (const codec of codecs) {
      const type = oracle.lookupType(codec.name);
      fc.assert(
        fc.property(exampleOf(codec.message), ({ input, decoded }) => {
          const shown = asOracle(codec.message, decoded as Plain);
          expect(decodeWithOracle(codec, codec.encode(input))).toEqual(shown);
          const theirs = new Uint8Array(type.encode(type.fromObject(shown)).finish());
          expect(codec.decode(theirs)).toEqual(decoded);
        }),
        { numRuns: perMessage(EXAMPLES) },
      );
    }
  });
});

describe("hostile bytes", () => {
  /** Decodes, or refuses with the one error that is for it. */
  const survive = ({ decode }: Codec, bytes: Uint8Array) => {
    try {
      decode(bytes);
    } catch (error) {
      if (!hasCode(error, "malformed-message")) throw error;
    }
  };

  test(`are refused or decoded, but never break a decoder: ${RANDOM} random ones`, () => {
    for (const codec of codecs) {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => survive(codec, bytes)),
        { numRuns: perMessage(RANDOM) },
      );
    }
  });

  test(`are refused or decoded, but never break a decoder: ${DAMAGED} damaged messages`, () => {
    for (const codec of codecs) {
      // Making an example costs more than decoding it, so each is damaged in many ways.
      fc.assert(
        fc.property(
          exampleOf(codec.message),
          fc.array(damage, { minLength: 20, maxLength: 20, size: "max" }),
          ({ input }, ways) => {
            const proper = codec.encode(input);
            let bytes = proper;
            for (const [index, way] of ways.entries()) {
              bytes = spoil(index % 4 === 0 ? proper : bytes, way);
              survive(codec, bytes);
            }
          },
        ),
        { numRuns: perMessage(DAMAGED / 20) },
      );
    }
  });
});
