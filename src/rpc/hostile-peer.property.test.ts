/**
 * Hostile bytes for both ends of a connection: they never crash or hang it, and a proper peer is served after what was only
 * nonsense inside of frames.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { agentService } from "../../build/generated/agent.ts";
import { FakeClock } from "../sys/testing/fake-clock.ts";
import { TtrpcClient } from "./client.ts";
import { requestFrame, responseFrame } from "./frame.ts";
import { FrameParser } from "./frame-parser.ts";
import { serveConnection } from "./server.ts";
import { damage, spoil } from "./testing/hostile-bytes.ts";
import { MemoryStream } from "./testing/memory-stream.ts";
import { rawFrame, readFrame, settle } from "./testing/raw-peer.ts";
import type { Service } from "./types.ts";

const RUNS = 6_000;

const id = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 0xffff_ffff }));

/** A frame whose body is a proper one, a damaged one or nonsense. */
const frame = fc.oneof(
  fc
    .record({
      stream: id,
      flags: fc.nat({ max: 7 }),
      service: fc.constantFrom("grpc.AgentService", "test.Streams", "", "x"),
      method: fc.constantFrom("WaitProcess", "GetMetrics", "Both", "Client", "Server", ""),
      payload: fc.uint8Array({ maxLength: 40 }),
      timeoutNano: fc.constantFrom(0, 1, -1),
    })
    .map(({ stream, flags, ...request }) => requestFrame(stream, flags, request)),
  fc
    .record({ stream: id, payload: fc.uint8Array({ maxLength: 20 }) })
    .map(({ stream, payload }) => responseFrame(stream, { payload })),
  fc
    .record({ stream: id, code: fc.integer({ min: -1, max: 20 }), message: fc.string() })
    .map(({ stream, ...status }) => responseFrame(stream, { status })),
  fc
    .record({
      stream: id,
      type: fc.nat({ max: 5 }),
      flags: fc.nat({ max: 8 }),
      body: fc.uint8Array({ maxLength: 60 }),
    })
    .map(({ stream, type, flags, body }) => rawFrame(stream, type, flags, body)),
);

function join(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Frames, some of which break what follows. */
const hostile = fc.oneof(
  { weight: 4, arbitrary: fc.array(frame, { maxLength: 8 }).map(join) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.array(frame, { minLength: 1, maxLength: 6 }).map(join), fc.array(damage, { maxLength: 4 }))
      .map(([bytes, ways]) => ways.reduce(spoil, bytes)),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
);

const STREAMS: Service = {
  name: "test.Streams",
  methods: new Map(
    (["both", "client", "server"] as const).map((shape) => [
      shape.charAt(0).toUpperCase() + shape.slice(1),
      {
        kind: "stream",
        shape,
        async handle(stream) {
          for (;;) {
            const message = await stream.receive();
            if (message === undefined) return shape === "client" ? new Uint8Array(1) : undefined;
            if (shape !== "client") await stream.send(message);
          }
        },
      },
    ]),
  ),
};

/** Reads all that the other side sends; fails at what is no frame. */
async function drain(stream: MemoryStream): Promise<number> {
  const parser = new FrameParser();
  for (let count = 0; ; count++) if ((await readFrame(stream, parser)) === undefined) return count;
}

test(`a server survives ${RUNS} hostile clients`, { timeout: 60_000 }, async () => {
  let answered = 0;
  await fc.assert(
    fc.asyncProperty(hostile, fc.boolean(), async (bytes, lasting) => {
      const { ours, theirs } = MemoryStream.pair();
      const clock = new FakeClock();
      const agent = agentService({
        waitProcess: async (request) => ({ status: request.containerId.length }),
        getMetrics: () => new Promise(() => undefined),
      });
      const served = serveConnection(ours, [agent, STREAMS], { clock, lasting });
      const answers = drain(theirs);
      await theirs.write(bytes);
      theirs.end();
      // A stream that nobody reads may hold the connection up for a second.
      for (let turn = 0; turn < 3; turn++) {
        await settle();
        clock.advance(1000);
      }
      await served;
      answered += await answers;
      expect(clock.pending).toBe(0);
    }),
    { numRuns: RUNS },
  );
  expect(answered).toBeGreaterThan(RUNS / 2);
});

test(`a client survives ${RUNS} hostile servers`, { timeout: 60_000 }, async () => {
  const outcomes = { answered: 0, failed: 0 };
  await fc.assert(
    fc.asyncProperty(hostile, fc.boolean(), async (bytes, lasting) => {
      const { ours, theirs } = MemoryStream.pair();
      const clock = new FakeClock();
      const client = new TtrpcClient(ours, lasting ? { clock, lasting: { firstStream: 1 } } : { clock });
      const calls = [1, 3, 5].map((value) =>
        client.call("grpc.AgentService", "WaitProcess", Uint8Array.of(value), { timeoutMs: 10_000 }),
      );
      const stream = client.openStream("test.Streams", "Both", "both");
      const reading = (async () => {
        while ((await stream.receive()) !== undefined);
      })();
      await theirs.write(bytes);
      theirs.end();
      await client.closed;
      for (const { status, ...result } of await Promise.allSettled([...calls, reading])) {
        if (status === "fulfilled") outcomes.answered++;
        else {
          outcomes.failed++;
          const { reason } = result as { reason: unknown };
          if (!(reason instanceof Error) || reason.name !== "KataError") throw reason;
        }
      }
      expect(clock.pending).toBe(0);
    }),
    { numRuns: RUNS },
  );
  expect(Math.min(outcomes.answered, outcomes.failed)).toBeGreaterThan(RUNS / 20);
});
