import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { dataFrame, HEADER_BYTES, MAX_BODY_BYTES, readUint32, requestFrame, responseFrame } from "./frame.ts";
import { type Frame, FrameParser, MAX_DISCARDED_BYTES } from "./frame-parser.ts";
import { MemoryStream } from "./testing/memory-stream.ts";
import { bytes, rawFrame, readFrame } from "./testing/raw-peer.ts";

const hex = (text: string) => Uint8Array.from(text.split(" "), (byte) => Number.parseInt(byte, 16));

describe("frames on the wire", () => {
  test("a request", () => {
    const frame = requestFrame(0x01020305, 2, {
      service: "a.B",
      method: "C",
      payload: bytes(1, 2),
      timeoutNano: 5,
    });
    expect(frame).toEqual(hex("00 00 00 0e 01 02 03 05 01 02 0a 03 61 2e 42 12 01 43 1a 02 01 02 20 05"));
  });

  test("a response", () => {
    expect(responseFrame(1, { payload: bytes(7) })).toEqual(hex("00 00 00 03 00 00 00 01 02 00 12 01 07"));
    expect(responseFrame(3, { status: { code: 5, message: "x" } })).toEqual(
      hex("00 00 00 07 00 00 00 03 02 00 0a 05 08 05 12 01 78"),
    );
  });

  test("data, also without a message", () => {
    expect(dataFrame(0xffff_ffff, 0, bytes(1))).toEqual(hex("00 00 00 01 ff ff ff ff 03 00 01"));
    expect(dataFrame(1, 5, bytes())).toEqual(hex("00 00 00 00 00 00 00 01 03 05"));
  });

  test("may be as large as the bound, and not a byte more", () => {
    expect(dataFrame(1, 0, new Uint8Array(MAX_BODY_BYTES)).subarray(0, 4)).toEqual(hex("00 40 00 00"));
    expect(() => dataFrame(1, 0, new Uint8Array(MAX_BODY_BYTES + 1))).toThrow(
      expect.objectContaining({ code: "resource-exhausted" }),
    );
  });
});

async function readAll(stream: MemoryStream): Promise<Frame[]> {
  const parser = new FrameParser();
  const frames: Frame[] = [];
  for (;;) {
    const frame = await readFrame(stream, parser);
    if (frame === undefined) return frames;
    frames.push(frame);
  }
}

describe("the frame parser", () => {
  test("gives back any frames, in whatever pieces they come", async () => {
    // A long body is quicker to compare as text.
    const asText = (body: Uint8Array | undefined) => Buffer.from(body ?? []).toString("latin1");
    const frame = fc.record({
      stream: fc.integer({ min: 0, max: 0xffff_ffff }),
      type: fc.nat({ max: 255 }),
      flags: fc.nat({ max: 255 }),
      // Around the size of the reader's buffer, 16 KiB, and its half.
      size: fc.oneof(
        fc.nat({ max: 40 }),
        fc.integer({ min: 8150, max: 8250 }),
        fc.integer({ min: 16_340, max: 16_420 }),
      ),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(frame, { maxLength: 6 }),
        fc.oneof(fc.integer({ min: 50, max: 100 }), fc.integer({ min: 1000, max: 20_000 })),
        async (frames, maxRead) => {
          const { ours, theirs } = MemoryStream.pair();
          ours.maxRead = maxRead;
          const body = (size: number) =>
            Uint8Array.from({ length: size }, (_, at) => (at * 31 + size) & 0xff);
          const expected = frames.map(({ size, ...header }) => ({
            ...header,
            length: size,
            body: asText(body(size)),
          }));
          for (const { stream, type, flags, size } of frames) {
            await theirs.write(rawFrame(stream, type, flags, body(size)));
          }
          theirs.end();
          expect((await readAll(ours)).map((read) => ({ ...read, body: asText(read.body) }))).toEqual(
            expected,
          );
        },
      ),
      { numRuns: 100 },
    );
  });

  test("passes over a body that is too large, without keeping it", async () => {
    const { ours, theirs } = MemoryStream.pair();
    const size = MAX_BODY_BYTES + 12_345;
    const before = process.memoryUsage().arrayBuffers;
    await theirs.write(rawFrame(1, 1, 0, bytes(), size));
    const parser = new FrameParser();
    const first = readFrame(ours, parser);
    const chunk = new Uint8Array(5000);
    for (let sent = 0; sent < size; sent += chunk.length) {
      await theirs.write(chunk.subarray(0, size - sent));
      await new Promise(setImmediate);
    }
    await theirs.write(rawFrame(3, 1, 0, bytes(7)));
    expect(await first).toEqual({ length: size, stream: 1, type: 1, flags: 0, body: undefined });
    expect(await readFrame(ours, parser)).toEqual({
      length: 1,
      stream: 3,
      type: 1,
      flags: 0,
      body: bytes(7),
    });
    // What the memory stream has recorded of the writes is not the reader's.
    const kept =
      process.memoryUsage().arrayBuffers -
      before -
      theirs.writes.reduce((sum, { length }) => sum + length, 0);
    expect(kept).toBeLessThan(MAX_BODY_BYTES / 2);
  });

  test("ends at a length that is no frame's", async () => {
    const { ours, theirs } = MemoryStream.pair();
    await theirs.write(rawFrame(1, 1, 0, bytes(), MAX_DISCARDED_BYTES + 1));
    await expect(readAll(ours)).rejects.toMatchObject({ code: "malformed-frame" });
  });

  test.each([
    ["a header", rawFrame(1, 1, 0).subarray(0, HEADER_BYTES - 1)],
    ["a body", rawFrame(1, 1, 0, bytes(1), 2)],
    ["a large body", rawFrame(1, 1, 0, new Uint8Array(20_000), 20_001)],
    ["a body that is passed over", rawFrame(1, 1, 0, new Uint8Array(20_000), MAX_BODY_BYTES + 1)],
  ])("fails when the stream ends inside of %s", async (_what, sent) => {
    const { ours, theirs } = MemoryStream.pair();
    await theirs.write(sent);
    theirs.end();
    await expect(readAll(ours)).rejects.toMatchObject({ code: "unexpected-end" });
  });

  test("numbers are read unsigned and big-endian, from where they are", () => {
    expect(readUint32(hex("00 ff 01 02 03"), 1)).toBe(0xff010203);
    expect(readUint32(hex("01 02"), 0)).toBe(0x01020000);
  });
});
