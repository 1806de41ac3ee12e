import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import {
  AttributeMap,
  attribute,
  nestedAttribute,
  parseAttributes,
  textAttribute,
  u32Attribute,
} from "./attribute.ts";
import { encodeMessage, NLMSG_ERROR, parseAcknowledgement, parseMessages, splitBody } from "./message.ts";

/** Bytes as hexadecimal text. */
function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

test("encodeMessage() writes header and padded attributes as struct nlmsghdr and nlattr say", () => {
  const body = [new Uint8Array([10, 0, 0, 0]), textAttribute(3, "lo"), u32Attribute(4, 1500)];
  expect(hex(encodeMessage({ type: 16, flags: 0x405, sequence: 7 }, body))).toBe(
    "24000000" +
      "1000" +
      "0504" +
      "07000000" +
      "00000000" +
      "0a000000" +
      "07000300" +
      "6c6f0000" +
      "08000400" +
      "dc050000",
  );
});

test("parseMessages() gives back what encodeMessage() wrote, several in one datagram", () => {
  const header = fc.record({
    type: fc.nat(0xffff),
    flags: fc.nat(0xffff),
    sequence: fc.nat(0xffff_ffff),
  });
  const values = fc.array(fc.record({ type: fc.nat(0x3fff), value: fc.uint8Array({ maxLength: 40 }) }));
  fc.assert(
    fc.property(fc.array(fc.record({ header, values }), { maxLength: 5 }), (messages) => {
      const encoded = messages.map(({ header, values }) =>
        encodeMessage(
          header,
          values.map(({ type, value }) => attribute(type, value)),
        ),
      );
      const parsed = parseMessages(new Uint8Array(Buffer.concat(encoded)));
      expect(
        parsed.map(({ body, ...header }) => ({
          header,
          values: parseAttributes(body).map(({ type, value }) => ({ type, value: value.slice() })),
        })),
      ).toEqual(messages);
    }),
  );
});

test("the parsers end with a result or `malformed-message` when the bytes are anything", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        for (const message of parseMessages(bytes)) {
          splitBody(message, 12);
          if (message.type === NLMSG_ERROR) parseAcknowledgement(message);
        }
        parseAttributes(bytes);
      } catch (error) {
        if (!(error instanceof KataError && error.code === "malformed-message")) throw error;
      }
    }),
    { numRuns: 20_000 },
  );
});

describe("AttributeMap", () => {
  test("reads nested attributes, and answers undefined for what is missing or too short", () => {
    const map = new AttributeMap(
      new Uint8Array(
        Buffer.concat([
          nestedAttribute(18, [textAttribute(1, "veth")]),
          attribute(4, new Uint8Array([1, 2])),
        ]),
      ),
    );
    expect([map.nested(18).text(1), map.u16(4), map.u32(4), map.u8(9), map.nested(9).text(1)]).toEqual([
      "veth",
      0x0201,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("parseAcknowledgement()", () => {
  const request = new Uint8Array(16);
  new DataView(request.buffer).setUint32(0, 16, true);
  const result = new Uint8Array(new Int32Array([-22]).buffer);
  const explanation = textAttribute(1, "Invalid MTU");
  test.each([
    ["without an explanation", 0, [result, request], undefined],
    ["with the request's header alone", 0x300, [result, request, explanation], "Invalid MTU"],
    ["with the whole request", 0x200, [result, request, explanation], "Invalid MTU"],
  ])("reads an error %s", (_, flags, parts, expected) => {
    const body = new Uint8Array(Buffer.concat(parts));
    expect(parseAcknowledgement({ type: NLMSG_ERROR, flags, sequence: 1, body })).toEqual({
      result: -22,
      explanation: expected,
    });
  });
});
