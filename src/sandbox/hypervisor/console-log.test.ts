import { expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { ConsoleLog } from "./console-log.ts";

/** A stream that gives `chunks` one after the other, then its end or `failure`. */
function streamOf(chunks: readonly string[], failure?: Error): ByteStream & { closed: boolean } {
  const rest = chunks.map((chunk) => new TextEncoder().encode(chunk));
  return {
    closed: false,
    async read(into) {
      const next = rest.shift();
      if (next === undefined && failure !== undefined) throw failure;
      into.set(next ?? []);
      return next?.length ?? 0;
    },
    write: () => Promise.reject(new Error("nothing is written")),
    close() {
      this.closed = true;
    },
  };
}

async function linesOf(...chunks: string[]): Promise<{ lines: string[]; tail: string[] }> {
  const lines: string[] = [];
  const stream = streamOf(chunks);
  const log = new ConsoleLog(stream, (line) => lines.push(line));
  await log.ended;
  expect(stream.closed).toBe(true);
  return { lines, tail: log.tail(2) };
}

test("ConsoleLog tells whole lines, however they come", async () => {
  expect(await linesOf("fir", "st\r\nsec", "ond\n\n", "rest")).toEqual({
    lines: ["first", "second"],
    tail: ["second", "rest"],
  });
});

test("ConsoleLog lets no control character into a log, also when a sequence comes in parts", async () => {
  const { lines } = await linesOf("\x1b[31", "mred\x1b[0m\x1b]0;title\x07\0\n");
  expect(lines).toEqual(["red?]0;title??"]);
});

test("ConsoleLog keeps the end of a line that never ends", async () => {
  const { tail } = await linesOf(...Array.from({ length: 100 }, () => "x".repeat(1000)), "end");
  expect(tail).toHaveLength(1);
  expect(tail[0]?.length).toBeLessThanOrEqual(1024);
  expect(tail[0]?.endsWith("xend")).toBe(true);
});

test("ConsoleLog keeps the last lines only", async () => {
  const log = new ConsoleLog(streamOf(Array.from({ length: 1000 }, (_, index) => `line ${index}\n`)));
  await log.ended;
  expect(log.tail(1000)).toHaveLength(64);
  expect(log.tail(1)).toEqual(["line 999"]);
});

test("ConsoleLog tells why reading failed, but not that it was closed by ourselves", async () => {
  const told: string[] = [];
  const failure = new KataError("system-call", { operation: "read", object: "fd 3", errno: "EIO" });
  await new ConsoleLog(streamOf([], failure), (line) => told.push(line)).ended;
  const closed = new KataError("closed", { operation: "read", object: "fd 3" });
  await new ConsoleLog(streamOf([], closed), (line) => told.push(line)).ended;
  expect(told).toEqual(["(output ended: read: fd 3: EIO)"]);
});
