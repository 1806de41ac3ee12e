import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ByteStream } from "../../sys/byte-stream.ts";
import {
  encodeRequest,
  encodeResponse,
  MAX_BODY_BYTES,
  MAX_HEAD_BYTES,
  parseRequest,
  parseResponse,
  readHttpMessage,
} from "./http-message.ts";

/** A stream that gives `bytes` in pieces of `piece` at most. */
function streamOf(bytes: Uint8Array, piece = 7): ByteStream {
  let at = 0;
  return {
    async read(into) {
      const next = bytes.subarray(at, at + Math.min(piece, into.length));
      into.set(next);
      at += next.length;
      return next.length;
    },
    write: () => Promise.resolve(),
    close: () => undefined,
  };
}

const bytesOf = (text: string) => new TextEncoder().encode(text);
const read = (text: string, untilEnd = false) => readHttpMessage(streamOf(bytesOf(text)), untilEnd);

describe("readHttpMessage()", () => {
  test("reads what encodeRequest() writes, in whatever pieces it comes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.integer({ min: 1, max: 400 }),
        async (body, piece) => {
          const stream = streamOf(encodeRequest("POST", "/a/b?c=%20d", body), piece);
          const request = parseRequest(await readHttpMessage(stream, false));
          expect(request).toEqual({ method: "POST", path: "/a/b", query: new Map([["c", " d"]]), body });
        },
      ),
    );
  });

  test("reads an answer with a length, and one that goes on to the end of the stream", async () => {
    const answer = { status: 404, contentType: "text/plain", body: bytesOf("no\n") };
    expect(parseResponse(await readHttpMessage(streamOf(encodeResponse(answer)), true))).toEqual(answer);
    const open = await read("HTTP/1.1 200 OK\r\n\r\nall of it", true);
    expect(new TextDecoder().decode(parseResponse(open).body)).toBe("all of it");
  });

  test.each<[what: string, text: string, code: string]>([
    ["nothing", "", "malformed-message"],
    ["no end of the header fields", "GET / HTTP/1.1\r\nHost: x\r\n", "malformed-message"],
    ["a field without a colon", "GET / HTTP/1.1\r\nnonsense\r\n\r\n", "malformed-message"],
    [
      "two lengths",
      "GET / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\nab",
      "malformed-message",
    ],
    ["a negative length", "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "malformed-message"],
    ["a body that is cut off", "GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab", "malformed-message"],
    [
      "a body that is too long",
      `PUT / HTTP/1.1\r\nContent-Length: ${MAX_BODY_BYTES + 1}\r\n\r\n`,
      "out-of-range",
    ],
    ["chunks", "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "unimplemented"],
    ["too many fields", `GET / HTTP/1.1\r\n${"a: b\r\n".repeat(65)}\r\n`, "malformed-message"],
    ["a head that never ends", "x".repeat(2 * MAX_HEAD_BYTES), "malformed-message"],
  ])("refuses %s", async (_what, text, code) => {
    await expect(read(text)).rejects.toMatchObject({ code });
  });
});

describe("parseRequest()", () => {
  test.each([
    "get / HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET http://x/ HTTP/1.1",
    "GET / HTTP/2",
    "GET /?a=%zz HTTP/1.1",
  ])("refuses %s", (startLine) => {
    const message = { startLine, fields: new Map(), body: new Uint8Array(0) };
    expect(() => parseRequest(message)).toThrow(expect.objectContaining({ code: "malformed-message" }));
  });
});
