/** Initdata on its way: compressed, on a disk, digested; whatever its bytes, it is read or refused. */
import { createHash } from "node:crypto";
import { deflateRawSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeInitdata } from "../genpolicy/initdata.ts";
import { gunzip } from "./gunzip.ts";
import { annotationPayload, hostData, initdataDigest, parseInitdata, unpackInitdata } from "./initdata.ts";
import { initdataDisk, payloadLength } from "./initdata-disk.ts";

const LIMIT = 1 << 20;

describe("gunzip()", () => {
  test("gives back what any level and strategy of zlib has compressed", () => {
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 5000 }),
      fc.string({ maxLength: 300 }).map((text) => Buffer.from(text.repeat(40))),
    );
    fc.assert(
      fc.property(
        content,
        fc.integer({ min: 0, max: 9 }),
        fc.integer({ min: 0, max: 4 }),
        (bytes, level, strategy) => {
          const packed = gzipSync(bytes, { level, strategy });
          expect(Buffer.from(gunzip(packed, LIMIT)).equals(bytes)).toBe(true);
        },
      ),
    );
  });

  test("passes over the fields of the header that it has no use for", () => {
    const plain = gzipSync("text");
    const body = plain.subarray(10);
    const header = Buffer.from(plain.subarray(0, 10));
    header[3] = 4 | 8 | 16 | 2;
    const fields = Buffer.from("\x03\x00abcname\0comment\0\x00\x00", "latin1");
    expect(Buffer.from(gunzip(Buffer.concat([header, fields, body]), LIMIT)).toString()).toBe("text");
  });

  test("refuses bytes that were changed, or reads the same; never anything else", () => {
    const packed = gzipSync("package agent_policy\n".repeat(20));
    fc.assert(
      fc.property(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(packed);
        changed[at] = (changed[at] ?? 0) ^ change;
        try {
          expect(Buffer.from(gunzip(changed, LIMIT)).toString()).toBe("package agent_policy\n".repeat(20));
        } catch (error) {
          expect(error).toMatchObject({ code: "corrupt-data" });
        }
      }),
    );
  });

  test.each([
    ["nothing", Buffer.alloc(0), "does not begin"],
    ["a cut end", gzipSync("text").subarray(0, -1), "it"],
    ["more than is allowed", gzipSync(Buffer.alloc(LIMIT + 1)), "at most 1048576"],
    ["something after its end", Buffer.concat([gzipSync("a"), Buffer.from("bc")]), ""],
    ["other data than deflate", Buffer.concat([gzipSync("").subarray(0, 10), Buffer.alloc(40, 0xff)]), ""],
  ])("refuses %s", (_what, bytes, why) => {
    expect(() => gunzip(bytes, LIMIT)).toThrow(
      expect.objectContaining({ code: "corrupt-data", message: expect.stringContaining(why) }),
    );
  });

  test("refuses more output than the trailer says before it has written it", () => {
    const body = deflateRawSync(Buffer.alloc(100_000));
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(10, 4);
    const lying = Buffer.concat([gzipSync("").subarray(0, 10), body, trailer]);
    expect(() => gunzip(lying, LIMIT)).toThrow(/longer than it says/);
  });
});

describe("initdata", () => {
  const initdata = {
    version: "0.1.0",
    algorithm: "sha384",
    data: { "policy.rego": "package agent_policy\n" },
  };

  test("of an annotation is read as it was written", () => {
    const text = unpackInitdata(annotationPayload(encodeInitdata(initdata)), "annotation");
    expect(parseInitdata(Buffer.from(text).toString(), "annotation")).toEqual(initdata);
  });

  test.each(["sha256", "sha384", "sha512"])(
    "is digested with %s, cut or filled for each platform",
    (algorithm) => {
      const text = Buffer.from(`version = "0.1.0"\nalgorithm = "${algorithm}"\n`);
      const digest = createHash(algorithm).update(text).digest();
      expect(Buffer.from(initdataDigest(algorithm, text)).equals(digest)).toBe(true);
      const field = (bytes: number) => Buffer.concat([digest, Buffer.alloc(bytes)]).subarray(0, bytes);
      for (const [platform, bytes] of [
        ["snp", 32],
        ["tdx", 48],
        ["cca", 64],
        ["se", 256],
      ] as const) {
        expect(Buffer.from(hostData(digest, platform)).equals(field(bytes))).toBe(true);
      }
    },
  );

  test.each([
    ["no base64", "?", "base64"],
    ["no gzip", Buffer.from("text").toString("base64"), "does not begin as gzip"],
    ["no TOML", gzipSync("x").toString("base64"), "TOML"],
    ["another version", gzipSync('version = "2"').toString("base64"), "version must be 0.1.0"],
    [
      "another digest",
      gzipSync('version = "0.1.0"\nalgorithm = "md5"').toString("base64"),
      "algorithm must be",
    ],
    [
      "data that is none",
      gzipSync('version = "0.1.0"\nalgorithm = "sha256"\ndata = 1').toString("base64"),
      "data must be",
    ],
    [
      "a file that is none",
      gzipSync('version = "0.1.0"\nalgorithm = "sha256"\n[data]\nx = 1').toString("base64"),
      "data.x",
    ],
  ])("with %s is refused by the field's name", (_what, annotation, why) => {
    const read = () =>
      parseInitdata(Buffer.from(unpackInitdata(annotationPayload(annotation), "a")).toString(), "a");
    expect(read).toThrow(
      expect.objectContaining({ code: "invalid-initdata", message: expect.stringContaining(why) }),
    );
  });

  test("goes on a disk of whole sectors and is found there", () => {
    const disk = initdataDisk(Uint8Array.of(1, 2, 3));
    expect(Buffer.from(disk.subarray(0, 20)).toString("latin1")).toBe(
      "initdata\x03\0\0\0\0\0\0\0\x01\x02\x03\0",
    );
    expect(disk.length).toBe(512);
    expect(payloadLength(disk.subarray(0, 16), disk.length)).toBe(3);
    expect(payloadLength(Buffer.from("another disk, full"), 512)).toBeUndefined();
    const lying = Uint8Array.from(disk.subarray(0, 16));
    lying[12] = 1;
    expect(() => payloadLength(lying, 512)).toThrow(expect.objectContaining({ code: "invalid-initdata" }));
  });
});
