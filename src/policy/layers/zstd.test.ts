/** zstd by fzstd, which Node 20 needs; the command `zstd` makes what is to be read. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { isZstd, zstdDecompress, zstdStream } from "./zstd.ts";

/** "layer\n" a thousand times, by zstd 1.5: for machines without the command. */
const SMALL = "KLUv/QBYdQAAMGxheWVyCgEAZ5e+FAE=";
const HAS_COMMAND = spawnSync("zstd", ["--version"]).status === 0;

/** Text and noise, so that blocks of each kind come out. */
function content(bytes: number): Buffer {
  const pieces: Buffer[] = [];
  for (let length = 0, i = 0; length < bytes; i++) {
    const noise = createHash("sha512").update(`${i}`).digest();
    const piece = i % 50 < 20 ? noise : Buffer.from(`line ${i % 7} of the file ${noise[0]}\n`.repeat(3));
    pieces.push(piece);
    length += piece.length;
  }
  return Buffer.concat(pieces);
}

async function streamed(bytes: Uint8Array, pieceBytes: number): Promise<Buffer> {
  const pieces = function* () {
    for (let at = 0; at < bytes.length; at += pieceBytes)
      yield Buffer.from(bytes.subarray(at, at + pieceBytes));
  };
  const out: Buffer[] = [];
  const stream = Readable.from(pieces()).pipe(zstdStream(undefined));
  for await (const piece of stream) out.push(piece);
  return Buffer.concat(out);
}

describe("zstd", () => {
  test.runIf(HAS_COMMAND).each([
    ["fast", ["-1"]],
    ["well", ["-19"]],
    ["with a long window and checksums", ["--long=27", "--check"]],
  ])("compressed %s comes out as it was", async (_how, flags) => {
    const text = content(3 << 20);
    const bytes = execFileSync("zstd", [...flags, "-c"], { input: text, maxBuffer: 64 << 20 });
    expect(isZstd(bytes)).toBe(true);
    expect(Buffer.compare(zstdDecompress(bytes, text.length, undefined), text)).toBe(0);
    for (const size of [7919, 1 << 20]) expect(Buffer.compare(await streamed(bytes, size), text)).toBe(0);
  });

  test.runIf(HAS_COMMAND)(
    "in several frames, with what is to be skipped between them, comes out",
    async () => {
      const frame = (text: string) => execFileSync("zstd", ["-c"], { input: text });
      const skipped = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
      const bytes = Buffer.concat([frame("one"), skipped, frame("two")]);
      expect(Buffer.from(zstdDecompress(bytes, 100, undefined)).toString()).toBe("onetwo");
      expect((await streamed(bytes, 5)).toString()).toBe("onetwo");
    },
  );

  const small = Buffer.from(SMALL, "base64");
  test("has a bound", () => {
    const text = "layer\n".repeat(1000);
    expect(Buffer.from(zstdDecompress(small, 6000, undefined)).toString()).toBe(text);
    expect(() => zstdDecompress(small, 5999, undefined)).toThrow(/more than 5999 bytes/);
  });

  test("that is cut off or damaged is refused", async () => {
    expect(() => zstdDecompress(small.subarray(0, -3), 6000, undefined)).toThrow();
    await expect(streamed(small.subarray(0, -3), 4)).rejects.toThrow();
    const damaged = Buffer.from(small);
    damaged[7] = 0xff;
    expect(() => zstdDecompress(damaged, 6000, undefined)).toThrow();
  });
});
