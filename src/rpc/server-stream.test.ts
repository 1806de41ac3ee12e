/** Streams of messages as the server sees them, frame by frame. Expectations as in `server.test.ts`. */
import { describe, expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { MAX_BODY_BYTES } from "./frame.ts";
import { bytes, type RawPeer, rawFrame, settle } from "./testing/raw-peer.ts";
import { ECHO, harness } from "./testing/server-harness.ts";
import type { CallContext, Method, ServerStream } from "./types.ts";

describe("streams", () => {
  type Stream = ServerStream<Uint8Array, Uint8Array>;
  const stream = (
    shape: "client" | "server" | "both",
    handle: (stream: Stream, context: CallContext) => Promise<Uint8Array | undefined>,
  ): Method => ({ kind: "stream", shape, handle });
  const open = (peer: RawPeer, flags: number, payload = bytes()) =>
    peer.request(1, { service: "test.Service", method: "Stream", payload }, flags);

  async function readAll(messages: Stream): Promise<number[][]> {
    const all: number[][] = [];
    for (;;) {
      const message = await messages.receive();
      if (message === undefined) return all;
      all.push([...message]);
    }
  }

  test("from the server: messages, then the end in a data frame", async () => {
    const { peer } = harness({
      Stream: stream("server", async (messages) => {
        const [request] = await readAll(messages);
        for (const value of request ?? []) await messages.send(bytes(value));
        return undefined;
      }),
    });
    await open(peer, 1, bytes(7, 8));
    expect([await peer.next(), await peer.next(), await peer.next()]).toEqual([
      { stream: 1, type: 3, flags: 0, body: [7] },
      { stream: 1, type: 3, flags: 0, body: [8] },
      { stream: 1, type: 3, flags: 5, body: [] },
    ]);
  });

  test("from the server: an empty request is a message, too", async () => {
    const requests: number[][][] = [];
    const { peer } = harness({
      Stream: stream("server", async (messages) => {
        requests.push(await readAll(messages));
        return undefined;
      }),
    });
    await open(peer, 1);
    await peer.next();
    expect(requests).toEqual([[[]]]);
  });

  test("from the client: messages, an empty one among them, then one response", async () => {
    const { peer } = harness({
      Stream: stream("client", async (messages) =>
        bytes(...(await readAll(messages)).map((message) => message.length)),
      ),
    });
    await open(peer, 2);
    await peer.send(rawFrame(1, 3, 0, bytes(1, 2)), rawFrame(1, 3, 0), rawFrame(1, 3, 5));
    expect(await peer.next()).toEqual({ stream: 1, payload: [2, 0] });
  });

  test("in both directions at once", async () => {
    const { peer } = harness({
      Stream: stream("both", async (messages) => {
        for (;;) {
          const message = await messages.receive();
          if (message === undefined) return undefined;
          await messages.send(bytes(...message, 0));
        }
      }),
    });
    // Rust's client says in the request that it has no message.
    await open(peer, 6);
    await peer.send(rawFrame(1, 3, 0, bytes(1)));
    expect(await peer.next()).toEqual({ stream: 1, type: 3, flags: 0, body: [1, 0] });
    // The last message may close the stream, too.
    await peer.send(rawFrame(1, 3, 1, bytes(2)));
    expect(await peer.next()).toEqual({ stream: 1, type: 3, flags: 0, body: [2, 0] });
    expect(await peer.next()).toEqual({ stream: 1, type: 3, flags: 5, body: [] });
    await peer.send(rawFrame(1, 3, 0, bytes(3)));
    expect(await peer.next()).toEqual({ stream: 1, status: 3, message: "StreamID is no longer active" });
  });

  test("that fail end in a response with the error", async () => {
    const { peer } = harness({
      Stream: stream("both", async () =>
        Promise.reject(new KataError("aborted", { operation: "do", object: "it" })),
      ),
    });
    await open(peer, 2);
    expect(await peer.next()).toEqual({ stream: 1, status: 10, message: "do: it" });
  });

  test("take no message after their sender has closed them", async () => {
    const { peer } = harness({ Stream: stream("client", () => new Promise(() => undefined)) });
    await open(peer, 2);
    await peer.send(rawFrame(1, 3, 5), rawFrame(1, 3, 5), rawFrame(1, 3, 0, bytes(1)));
    expect(await peer.next()).toEqual({
      stream: 1,
      status: 3,
      message: "data handling error: ttrpc: stream closed",
    });
  });

  test("that nobody reads hold the connection up for a second, then fail", async () => {
    const { peer, clock, call } = harness({
      Echo: ECHO,
      Stream: stream("client", () => new Promise(() => undefined)),
    });
    await open(peer, 2);
    for (let index = 0; index < 64; index++) await peer.send(rawFrame(1, 3, 0, bytes(index)));
    await call(3, "Echo", bytes(3));
    await settle();
    clock.advance(999);
    await settle();
    clock.advance(1);
    expect(await peer.next()).toEqual({
      stream: 1,
      status: 3,
      message: "data handling error: stream buffer full",
    });
    expect(await peer.next()).toEqual({ stream: 3, payload: [3] });
  });

  test("hold the connection up when large messages wait to be read", async () => {
    const sizes: number[] = [];
    let read: () => void = () => undefined;
    const { peer, call } = harness({
      Echo: ECHO,
      Stream: stream("client", async (messages) => {
        await new Promise<void>((resolve) => {
          read = resolve;
        });
        for (const message of await readAll(messages)) sizes.push(message.length);
        return bytes();
      }),
    });
    await open(peer, 2);
    const half = new Uint8Array(MAX_BODY_BYTES / 2);
    for (let index = 0; index < 3; index++) await peer.send(rawFrame(1, 3, 0, half));
    await peer.send(rawFrame(1, 3, 5));
    await call(3, "Echo");
    await settle();
    read();
    expect(await peer.next()).toMatchObject({ stream: 1, payload: [] });
    expect(sizes).toEqual([half.length, half.length, half.length]);
    expect(await peer.next()).toEqual({ stream: 3, payload: [] });
  });

  test("wake a handler that reads when the connection ends", async () => {
    const errors: unknown[] = [];
    const { peer, served, client } = harness({
      Stream: stream("client", async (messages) => {
        await messages.receive().catch((error: unknown) => errors.push(error));
        await messages.send(bytes()).catch((error: unknown) => errors.push(error));
        return undefined;
      }),
    });
    await open(peer, 2);
    await settle();
    client.close();
    await served;
    await settle();
    expect(errors).toMatchObject([{ code: "unavailable" }, { code: "unavailable" }]);
  });
});
