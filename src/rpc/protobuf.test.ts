/** The wire format by hand. Vectors are written from protobuf.dev, "Encoding". */
import { describe, expect, test } from "vitest";
import {
  decodeAddSwapRequest,
  decodeCreateContainerRequest,
  decodeMemAgentMemcgConfig,
  decodeMemoryStats,
  encodeAddSwapRequest,
  encodeMemAgentMemcgConfig,
} from "../../build/generated/agent.ts";
import { decodePSIData, encodePSIData } from "../../build/generated/cgroups-v2.ts";
import { decodeEmpty, encodeEmpty } from "../../build/generated/empty.ts";
import {
  decodeLinuxSyscall,
  decodeSpec,
  decodeUser,
  encodeLinux,
  encodeLinuxSyscall,
  encodeSpec,
} from "../../build/generated/oci.ts";
import { encodeStatus } from "../../build/generated/status.ts";
import { decodeTimestamp, encodeTimestamp } from "../../build/generated/timestamp.ts";
import { decodeFloatValue, encodeFloatValue } from "../../build/generated/wrappers.ts";
import { MAX_DEPTH, MAX_ELEMENTS, Reader } from "./protobuf-reader.ts";
import { Writer } from "./protobuf-writer.ts";

const hex = (text: string) =>
  Uint8Array.from(text.split(" ").filter(Boolean), (byte) => Number.parseInt(byte, 16));
const shown = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

describe("encoding", () => {
  const vectors: [what: string, bytes: Uint8Array, expected: string][] = [
    ["a message without fields", encodeEmpty({}), ""],
    ["zeros, which are not written", encodeTimestamp({ seconds: 0n, nanos: 0 }), ""],
    ["a small number", encodeTimestamp({ seconds: 150n }), "08 96 01"],
    ["a 64-bit field given as a number", encodeTimestamp({ seconds: 150 }), "08 96 01"],
    [
      "a negative int32, sign-extended to ten bytes",
      encodeTimestamp({ nanos: -1 }),
      "10 ff ff ff ff ff ff ff ff ff 01",
    ],
    ["the least int64", encodeTimestamp({ seconds: -(2n ** 63n) }), "08 80 80 80 80 80 80 80 80 80 01"],
    ["a negative number for an int64", encodeTimestamp({ seconds: -2 }), "08 fe ff ff ff ff ff ff ff ff 01"],
    ["2^53 - 1", encodeTimestamp({ seconds: Number.MAX_SAFE_INTEGER }), "08 ff ff ff ff ff ff ff 0f"],
    ["2^32", encodeTimestamp({ seconds: 2 ** 32 }), "08 80 80 80 80 10"],
    ["text", encodeStatus({ message: "testing" }), "12 07 74 65 73 74 69 6e 67"],
    [
      "a list of numbers, packed",
      encodeAddSwapRequest({ PCIPath: [3, 270, 86942] }),
      "0a 06 03 8e 02 9e a7 05",
    ],
    [
      "an optional zero that is there",
      encodeMemAgentMemcgConfig({ swap: false, periodSecs: 0 }),
      "10 00 20 00",
    ],
    ["a zero of a oneof that is there", encodeLinuxSyscall({ errnoret: 0 }), "18 00"],
    ["a double", encodePSIData({ avg10: 1.5 }), "09 00 00 00 00 00 00 f8 3f"],
    ["a negative zero, which is not zero", encodeFloatValue({ value: -0 }), "0d 00 00 00 80"],
    ["a map from a map", encodeLinux({ Sysctl: new Map([["a", "b"]]) }), "1a 06 0a 01 61 12 01 62"],
    ["a map from a record, with an empty value", encodeLinux({ Sysctl: { a: "" } }), "1a 05 0a 01 61 12 00"],
    ["an empty nested message", encodeSpec({ Root: {} }), "1a 00"],
  ];
  test.each(vectors)("writes %s", (_what, bytes, expected) => {
    expect(shown(bytes)).toBe(expected);
  });

  test.each([0x7f, 0x80, 0x3fff, 0x4000, 0x1f_ffff, 0x20_0000])(
    "writes the length of a nested message of %i bytes",
    (length) => {
      const writer = new Writer();
      const content = new Uint8Array(length).fill(7);
      writer.message(10, content, (w, bytes) => {
        // A bytes field as long as the message less its own tag and length.
        const head =
          bytes.length <= 0x7f + 2
            ? 2
            : bytes.length <= 0x3fff + 3
              ? 3
              : bytes.length <= 0x1f_ffff + 4
                ? 4
                : 5;
        w.bytes(10, bytes.subarray(head));
      });
      const reader = new Reader(writer.written());
      expect(reader.tag()).toBe(10);
      const inner = reader.bytes();
      expect(inner.length).toBe(length);
      expect(reader.at).toBe(reader.end);
    },
  );

  const refused: [what: string, encode: () => unknown][] = [
    ["a fraction as int32", () => encodeTimestamp({ nanos: 1.5 })],
    ["2^31 as int32", () => encodeTimestamp({ nanos: 2 ** 31 })],
    ["infinity as int64", () => encodeTimestamp({ seconds: Number.POSITIVE_INFINITY })],
    ["2^53 as a number", () => encodeTimestamp({ seconds: 2 ** 53 })],
    ["2^63 as int64", () => encodeTimestamp({ seconds: 2n ** 63n })],
    ["-1 as uint32", () => encodeAddSwapRequest({ PCIPath: [-1] })],
    ["-1 as uint64", () => encodeMemAgentMemcgConfig({ periodSecs: -1n })],
    ["2^64 as uint64", () => encodeMemAgentMemcgConfig({ periodSecs: 2n ** 64n })],
  ];
  test.each(refused)("refuses %s", (_what, encode) => {
    expect(encode).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });
});

describe("decoding", () => {
  const vectors: [what: string, decoded: unknown, expected: unknown][] = [
    ["nothing as zeros", decodeTimestamp(hex("")), { seconds: 0n, nanos: 0 }],
    ["a list of numbers that is packed", decodeAddSwapRequest(hex("0a 03 01 8e 02")), { PCIPath: [1, 270] }],
    ["a list of numbers that is not", decodeAddSwapRequest(hex("08 01 08 8e 02")), { PCIPath: [1, 270] }],
    [
      "a list of numbers that is both",
      decodeUser(hex("18 01 1a 01 02 18 03")),
      { UID: 0, GID: 0, AdditionalGids: [1, 2, 3], Username: "" },
    ],
    [
      "the last of a scalar that occurs twice",
      decodeTimestamp(hex("08 01 08 02")),
      { seconds: 2n, nanos: 0 },
    ],
    ["absent optional fields as absent", decodeMemAgentMemcgConfig(hex("10 00")), { swap: false }],
    ["an absent oneof as absent", decodeLinuxSyscall(hex("")), { Names: [], Action: "", Args: [] }],
    ["a oneof", decodeLinuxSyscall(hex("18 26")), { Names: [], Action: "", errnoret: 38, Args: [] }],
    [
      "an int32 in five bytes, as some write it",
      decodeTimestamp(hex("10 ff ff ff ff 0f")),
      { seconds: 0n, nanos: -1 },
    ],
    [
      "any number but 0 as true",
      decodeMemAgentMemcgConfig(hex("08 80 80 80 80 80 80 80 80 80 01")),
      { disabled: true },
    ],
    [
      "the upper half of a number for 32 bits as nothing",
      decodeUser(hex("08 81 80 80 80 70")),
      { UID: 1, GID: 0, AdditionalGids: [], Username: "" },
    ],
    [
      "a double that is no number",
      decodePSIData(hex("09 00 00 00 00 00 00 f8 7f")),
      { avg10: Number.NaN, avg60: 0, avg300: 0, total: 0n },
    ],
    ["a float", decodeFloatValue(hex("0d 00 00 c0 3f")), { value: 1.5 }],
    [
      "an entry of a map without value or key, and the last one of a key",
      decodeMemoryStats(hex("32 03 0a 01 61 32 02 10 05 32 05 0a 01 62 10 01 32 05 0a 01 62 10 02")).stats,
      new Map([
        ["a", 0n],
        ["", 5n],
        ["b", 2n],
      ]),
    ],
    [
      "a message that occurs twice as one",
      decodeSpec(hex("1a 03 0a 01 2f 1a 02 10 01")).Root,
      { Path: "/", Readonly: true },
    ],
    [
      "fields that are not known as nothing: varint, 64 bits, bytes, group, 32 bits",
      decodeTimestamp(
        hex(
          "f8 07 05 f9 07 01 02 03 04 05 06 07 08 fa 07 02 61 62 fb 07 08 01 fb 07 fc 07 fc 07 fd 07 01 02 03 04 08 07",
        ),
      ),
      { seconds: 7n, nanos: 0 },
    ],
    [
      "a known field of another wire type as not known",
      decodeTimestamp(hex("0a 01 05 08 07")),
      { seconds: 7n, nanos: 0 },
    ],
    ["fields of a message that has none", decodeEmpty(hex("08 01")), {}],
    ["a byte order mark as part of a text", decodeSpec(hex("0a 04 ef bb bf 61")).Version, "\ufeffa"],
    ["the replacement character itself", decodeSpec(hex("0a 03 ef bf bd")).Version, "\ufffd"],
  ];
  test.each(vectors)("reads %s", (_what, decoded, expected) => {
    expect(decoded).toEqual(expected);
  });

  const refused: [what: string, bytes: string][] = [
    ["a field number of 0", "00 01"],
    ["a tag of more than 32 bits", "88 80 80 80 80 01 01"],
    ["a wire type that is none", "0e"],
    ["the end of a group that did not begin", "0c"],
    ["a group that does not end", "f3 01 08 01"],
    ["a group that another one ends", "f3 01 fc 01"],
    ["a number that ends early", "08 80"],
    ["a number of eleven bytes", "08 80 80 80 80 80 80 80 80 80 80 01"],
    ["a text longer than what is there", "0a 05 61"],
    ["a text longer than memory", "0a ff ff ff ff ff ff ff ff 7f"],
    ["a nested message longer than what is there", "1a 05 0a 01 2f"],
    ["a nested message whose text is longer than itself", "1a 03 0a 02 2f 0a"],
    ["a nested message whose number goes on behind it", "1a 02 10 80 01"],
    ["a text that is not UTF-8", "0a 02 c3 28"],
    ["a text with half of a surrogate pair", "0a 03 ed a0 80"],
  ];
  test.each(refused)("refuses %s", (_what, bytes) => {
    expect(() => decodeSpec(hex(bytes))).toThrow(expect.objectContaining({ code: "malformed-message" }));
  });

  test("gives views of the message for bytes, without a copy", () => {
    const bytes = hex("1a 02 01 02");
    const reader = new Reader(bytes);
    reader.tag();
    expect(reader.bytes().buffer).toBe(bytes.buffer);
  });
});

describe("bounds of decoding", () => {
  test(`messages nested ${MAX_DEPTH} deep are read, one more is refused`, () => {
    // Our own messages do not contain themselves; one that does.
    interface Node {
      readonly child?: Node;
    }
    const read = (r: Reader): Node => {
      let node: Node = {};
      while (r.at < r.end) {
        r.tag();
        node = { child: r.message(read) };
      }
      return node;
    };
    const nested = (depth: number) => {
      const writer = new Writer();
      const write = (w: Writer, left: number) => {
        if (left > 0) w.message(10, left - 1, write);
      };
      write(writer, depth);
      return new Reader(writer.written());
    };
    let depth = 0;
    for (let node: Node | undefined = read(nested(MAX_DEPTH)); node.child !== undefined; node = node.child)
      depth++;
    expect(depth).toBe(MAX_DEPTH);
    expect(() => read(nested(MAX_DEPTH + 1))).toThrow(expect.objectContaining({ code: "malformed-message" }));
  });

  test(`groups nested deeper than ${MAX_DEPTH} are refused`, () => {
    const groups = (depth: number) =>
      Uint8Array.from([...Array(depth).fill(0x7b), ...Array(depth).fill(0x7c)]);
    expect(decodeEmpty(groups(MAX_DEPTH))).toEqual({});
    expect(() => decodeEmpty(groups(MAX_DEPTH + 1))).toThrow(
      expect.objectContaining({ code: "malformed-message" }),
    );
    expect(() => decodeEmpty(groups(2_000_000))).toThrow(
      expect.objectContaining({ code: "malformed-message" }),
    );
  });

  test.each([
    ["messages", [0x2a, 0x00]],
    ["entries of a map", [0x32, 0x00]],
  ])(`more than ${MAX_ELEMENTS} %s are refused, over all lists of a message`, (_what, element) => {
    const repeated = (count: number) => {
      const bytes = new Uint8Array(count * element.length);
      for (let at = 0; at < bytes.length; at += element.length) bytes.set(element, at);
      return bytes;
    };
    const decode = element[0] === 0x2a ? decodeCreateContainerRequest : decodeMemoryStats;
    expect(() => decode(repeated(MAX_ELEMENTS))).not.toThrow();
    expect(() => decode(repeated(MAX_ELEMENTS + 1))).toThrow(
      expect.objectContaining({ code: "malformed-message" }),
    );
  });

  test("packed numbers count, too", () => {
    const packed = (count: number) => {
      const writer = new Writer();
      writer.packedUint32(10, Array(count).fill(1));
      return writer.written();
    };
    expect(decodeAddSwapRequest(packed(MAX_ELEMENTS)).PCIPath.length).toBe(MAX_ELEMENTS);
    expect(() => decodeAddSwapRequest(packed(MAX_ELEMENTS + 1))).toThrow(
      expect.objectContaining({ code: "malformed-message" }),
    );
  });
});
