import { expect, test } from "vitest";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import { httpGet, wholeBody } from "./http-exchange.ts";

/** A server that answers `text`, `step` bytes at a time. */
function server(text: string, step: number): ByteStream & { sent: string } {
  const bytes = utf8Encode(text);
  let at = 0;
  return {
    sent: "",
    async read(into) {
      const piece = bytes.subarray(at, at + Math.min(step, into.length));
      into.set(piece);
      at += piece.length;
      return piece.length;
    },
    async write(sent) {
      this.sent += utf8Decode(sent);
    },
    close: () => undefined,
  };
}

async function get(text: string, step = 1000, limit = 1000) {
  const stream = server(text, step);
  const answer = await httpGet(stream, "h:1", "/p", new Map([["Accept", "x"]]));
  return { status: answer.status, body: utf8Decode(await wholeBody(answer, limit)), sent: stream.sent };
}

test("httpGet() sends a request of its own connection", async () => {
  const { sent } = await get("HTTP/1.1 200 OK\r\n\r\n");
  expect(sent).toBe("GET /p HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\nAccept: x\r\n\r\n");
});

const BODIES = [
  ["with its length", "Content-Length: 5\r\n\r\nhello, and more", "hello"],
  ["up to the end", "\r\nhello", "hello"],
  ["in chunks", "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", "hello"],
  ["that is empty", "Content-Length: 0\r\n\r\n", ""],
] as const;

test.each(BODIES.flatMap((each) => [1, 3, 1000].map((step) => [...each, step] as const)))(
  "httpGet() reads a body %s",
  async (_what, rest, body, step) => {
    expect(await get(`HTTP/1.1 206 Partial\r\n${rest}`, step)).toMatchObject({ status: 206, body });
  },
);

test.each([
  ["no answer", "hello\r\n\r\n"],
  ["nothing", ""],
  ["a body that is cut", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello"],
  ["a length that is no number", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
  ["a chunk that is cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"],
  ["a chunk without a length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"],
  [
    "a chunk that is longer than it says",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n",
  ],
  ["an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx"],
  ["header fields without end", `HTTP/1.1 200 OK\r\nX: ${"y".repeat(20_000)}`],
])("httpGet() refuses %s", async (_what, text) => {
  await expect(get(text)).rejects.toThrow(expect.objectContaining({ code: "malformed-message" }));
});

test("wholeBody() takes no more than its limit", async () => {
  await expect(get("HTTP/1.1 200 OK\r\n\r\n12345", 2, 4)).rejects.toThrow(
    expect.objectContaining({ code: "out-of-range" }),
  );
});

test("httpGet() sends no line that somebody else has made", async () => {
  const stream = server("", 1);
  await expect(httpGet(stream, "h", "/\r\nX: y", new Map())).rejects.toThrow(
    expect.objectContaining({ code: "malformed-message" }),
  );
  expect(stream.sent).toBe("");
});
