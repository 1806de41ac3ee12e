import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { type ExecFrame, encodeExecFrame, MAX_FRAME_BYTES, readExecFrame } from "./exec-stream.ts";

/** A stream that gives `bytes` in pieces of at most `piece`. */
function streamOf(bytes: Uint8Array, piece = 3): ByteStream {
  let at = 0;
  return {
    async read(into) {
      const count = Math.min(piece, into.length, bytes.length - at);
      into.set(bytes.subarray(at, at + count));
      at += count;
      return count;
    },
    write: async () => undefined,
    close: () => undefined,
  } as ByteStream;
}

const frames = fc.oneof(
  fc.record({
    kind: fc.constantFrom("stdin" as const, "stdout" as const, "stderr" as const),
    bytes: fc.uint8Array({ maxLength: 300 }),
  }),
  fc.record({ kind: fc.constant("size" as const), rows: fc.nat(0xffff), columns: fc.nat(0xffff) }),
  fc.record({ kind: fc.constant("signal" as const), signal: fc.nat(255) }),
  fc.record({ kind: fc.constant("exit" as const), status: fc.nat(255) }),
  fc.record({
    kind: fc.constant("failure" as const),
    code: fc.string({ maxLength: 9 }),
    message: fc.string({ maxLength: 100 }),
  }),
);

describe("frames of a process's streams", () => {
  test("are read as they were written, however the bytes come", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(frames, { maxLength: 5 }),
        fc.integer({ min: 1, max: 400 }),
        async (sent, piece) => {
          const bytes = Buffer.concat(sent.map((frame) => encodeExecFrame(frame)));
          const stream = streamOf(new Uint8Array(bytes), piece);
          const got: ExecFrame[] = [];
          for (
            let frame = await readExecFrame(stream);
            frame !== undefined;
            frame = await readExecFrame(stream)
          ) {
            got.push(frame);
          }
          expect(got).toEqual(sent);
        },
      ),
    );
  });

  test.each([
    ["of an unknown kind", [7, 0, 0, 0, 0]],
    ["longer than the bound", [0, ...numberBytes(MAX_FRAME_BYTES + 1)]],
    ["that end in their head", [0, 0]],
    ["that end in their payload", [3, 0, 0, 0, 2, 1]],
    ["with a size of two bytes", [1, 0, 0, 0, 2, 1, 1]],
    ["with a status of no byte", [5, 0, 0, 0, 0]],
    ["with a failure that is no JSON", [6, 0, 0, 0, 1, 123]],
  ])("are refused %s", async (_, bytes) => {
    await expect(readExecFrame(streamOf(Uint8Array.from(bytes)))).rejects.toMatchObject({
      code: "malformed-message",
    });
  });
});

function numberBytes(value: number): number[] {
  return [value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255];
}
