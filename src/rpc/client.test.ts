/** What the client sends and makes of what comes, frame by frame. */
import { describe, expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { CancelSource } from "../sys/cancellation.ts";
import { FakeClock } from "../sys/testing/fake-clock.ts";
import { type ClientOptions, TtrpcClient } from "./client.ts";
import { MAX_BODY_BYTES, readUint32, responseFrame } from "./frame.ts";
import { decodeRequest } from "./generated.ts";
import { MemoryStream } from "./testing/memory-stream.ts";
import { bytes, RawPeer, rawFrame, settle } from "./testing/raw-peer.ts";

function harness(options: ClientOptions = {}) {
  const { ours, theirs } = MemoryStream.pair();
  const clock = new FakeClock();
  const client = new TtrpcClient(ours, { clock, ...options });
  /** The frames that the client has sent. */
  const sent = () =>
    ours.writes.map((frame) => ({
      header: { length: readUint32(frame, 0), stream: readUint32(frame, 4), type: frame[8], flags: frame[9] },
      body: frame.slice(10),
    }));
  return { client, clock, peer: new RawPeer(theirs), server: theirs, ours, sent };
}

describe("a request", () => {
  test("is one frame with all that was asked, in one write", async () => {
    const { client, sent } = harness();
    const call = client.call("a.B", "C", bytes(1, 2), { timeoutMs: 1.5, metadata: { "X-Name": "v" } });
    const [frame] = sent();
    expect(frame?.header).toEqual({ length: frame?.body.length, stream: 1, type: 1, flags: 0 });
    expect(decodeRequest(frame?.body ?? bytes())).toEqual({
      service: "a.B",
      method: "C",
      payload: bytes(1, 2),
      timeoutNano: 1_500_000n,
      metadata: [{ key: "x-name", value: "v" }],
    });
    client.close();
    await expect(call).rejects.toMatchObject({ code: "unavailable" });
  });

  test("has ids that are odd, and grow in the order on the wire", async () => {
    const { client, sent, peer } = harness();
    const calls = [1, 2, 3].map((value) => client.call("a.B", "C", bytes(value)));
    expect(sent().map(({ header }) => header.stream)).toEqual([1, 3, 5]);
    expect(sent().map(({ body }) => [...decodeRequest(body).payload])).toEqual([[1], [2], [3]]);
    for (const id of [3, 5, 1]) await peer.send(responseFrame(id, { payload: bytes(id) }));
    expect(await Promise.all(calls)).toEqual([bytes(1), bytes(3), bytes(5)]);
  });

  test("over the bound is refused, nothing is sent and no id is used", async () => {
    const { client, sent } = harness();
    await expect(client.call("a.B", "C", new Uint8Array(MAX_BODY_BYTES))).rejects.toMatchObject({
      code: "resource-exhausted",
    });
    expect(sent()).toEqual([]);
    client.call("a.B", "C", bytes()).catch(() => undefined);
    expect(sent()[0]?.header.stream).toBe(1);
  });

  test("that is given up before it is sent is not sent", async () => {
    const { client, sent } = harness();
    const source = new CancelSource();
    source.cancel();
    await expect(client.call("a.B", "C", bytes(), { signal: source.signal })).rejects.toMatchObject({
      code: "cancelled",
    });
    await expect(client.call("a.B", "C", bytes(), { timeoutMs: 0 })).rejects.toMatchObject({
      code: "deadline-exceeded",
    });
    expect(sent()).toEqual([]);
  });

  test("that needs an id after the last one ends the connection", async () => {
    const { client, sent, peer } = harness({ lasting: { firstStream: 0xffff_ffff } });
    const last = client.call("a.B", "C", bytes());
    await peer.send(responseFrame(0xffff_ffff, { payload: bytes(1) }));
    expect(await last).toEqual(bytes(1));
    await expect(client.call("a.B", "C", bytes())).rejects.toMatchObject({ code: "unavailable" });
    await client.closed;
    expect(sent().length).toBe(1);
  });
});

describe("an answer", () => {
  test.each<[what: string, response: Uint8Array, expected: number[]]>([
    ["without a status", responseFrame(1, { payload: bytes(5) }), [5]],
    ["with an empty status", responseFrame(1, { status: {}, payload: bytes(5) }), [5]],
    [
      "with status 0 and a text",
      responseFrame(1, { status: { code: 0, message: "fine" }, payload: bytes(5) }),
      [5],
    ],
    ["without anything", rawFrame(1, 2, 0), []],
    ["with fields and flags that are not known", rawFrame(1, 2, 0xff, bytes(0x12, 1, 5, 0x1a, 1, 1)), [5]],
  ])("%s is a success", async (_what, response, expected) => {
    const { client, peer } = harness();
    const call = client.call("a.B", "C", bytes());
    await peer.send(response);
    expect(await call).toEqual(bytes(...expected));
  });

  test.each<[what: string, response: Uint8Array, code: string, object: string]>([
    ["with a status", responseFrame(1, { status: { code: 5, message: "no x" } }), "not-found", "no x"],
    ["with a status without a text", responseFrame(1, { status: { code: 13 } }), "internal", "internal"],
    ["with a status that is none", responseFrame(1, { status: { code: 99, message: "?" } }), "unknown", "?"],
    ["with a negative status", responseFrame(1, { status: { code: -1, message: "?" } }), "unknown", "?"],
    [
      "that is no response",
      rawFrame(1, 2, 0, bytes(0x0a, 9)),
      "malformed-message",
      "a field is longer than its message",
    ],
    ["that is data", rawFrame(1, 3, 0, bytes(1)), "internal", "a frame of type 3 came instead of a response"],
    [
      "over the bound",
      rawFrame(1, 2, 0, new Uint8Array(MAX_BODY_BYTES + 1)),
      "resource-exhausted",
      "message length 4194305 exceed maximum message size of 4194304",
    ],
  ])("%s fails the call, and the connection goes on", async (_what, response, code, object) => {
    const { client, peer } = harness();
    const call = client.call("a.B", "C", bytes());
    await peer.send(response);
    await expect(call).rejects.toMatchObject({ name: "KataError", code, object });
    const next = client.call("a.B", "C", bytes());
    await peer.send(responseFrame(3, { payload: bytes(1) }));
    expect(await next).toEqual(bytes(1));
  });

  test("for a call that is not is passed over", async () => {
    const { client, peer } = harness();
    const call = client.call("a.B", "C", bytes());
    await peer.send(
      responseFrame(7, { payload: bytes(7) }),
      rawFrame(2, 2, 0),
      rawFrame(0, 9, 9),
      responseFrame(1, { payload: bytes(1) }),
      responseFrame(1, { payload: bytes(2) }),
    );
    expect(await call).toEqual(bytes(1));
  });

  test("may come in any pieces", async () => {
    const { client, peer, ours } = harness();
    ours.maxRead = 1;
    const call = client.call("a.B", "C", bytes());
    await peer.send(responseFrame(1, { payload: bytes(...Array(300).fill(4)) }));
    expect((await call).length).toBe(300);
  });
});

describe("a call", () => {
  test("fails when its time is up, and a late answer is dropped", async () => {
    const { client, peer, clock } = harness();
    const call = client.call("a.B", "C", bytes(), { timeoutMs: 10 });
    clock.advance(9);
    await settle();
    clock.advance(1);
    await expect(call).rejects.toMatchObject({
      code: "deadline-exceeded",
      message: "call a.B/C: no answer within 10 ms",
    });
    await peer.send(responseFrame(1, { payload: bytes(1) }));
    const next = client.call("a.B", "C", bytes(), { timeoutMs: 10 });
    await peer.send(responseFrame(3, { payload: bytes(3) }));
    expect(await next).toEqual(bytes(3));
    expect(clock.pending).toBe(0);
  });

  test("fails with its signal's reason, and nothing is sent for it", async () => {
    const { client, sent } = harness();
    const source = new CancelSource();
    const call = client.call("a.B", "C", bytes(), { signal: source.signal });
    const reason = new KataError("cancelled", { operation: "wait", object: "no need" });
    source.cancel(reason);
    await expect(call).rejects.toBe(reason);
    expect(sent().length).toBe(1);
  });

  test.each<[how: string, end: (peer: RawPeer, server: MemoryStream, client: TtrpcClient) => unknown]>([
    ["the server hangs up", (_peer, server) => server.close()],
    [
      "the server hangs up inside of a frame",
      (peer, server) => peer.send(bytes(0, 0, 0)).then(() => server.close()),
    ],
    [
      "the server hangs up inside of a body",
      (peer, server) => peer.send(rawFrame(1, 2, 0, bytes(1), 9)).then(() => server.close()),
    ],
    ["what comes are no frames", (peer) => peer.send(bytes(...Array(10).fill(0x41)))],
    ["the client is closed", (_peer, _server, client) => client.close()],
  ])("fails as unavailable when %s", async (_how, end) => {
    const { client, peer, server, ours } = harness();
    const calls = [1, 2].map((value) => client.call("a.B", "C", bytes(value), { timeoutMs: 1000 }));
    await end(peer, server, client);
    for (const call of calls)
      await expect(call).rejects.toMatchObject({ code: "unavailable", object: "ttrpc: closed" });
    await client.closed;
    expect(ours.isClosed).toBe(true);
    await expect(client.call("a.B", "C", bytes())).rejects.toMatchObject({
      code: "unavailable",
      object: "ttrpc: closed",
    });
  });

  test("fails as unavailable when its request cannot be written", async () => {
    const { client, server } = harness();
    server.close();
    await expect(client.call("a.B", "C", bytes())).rejects.toMatchObject({
      code: "unavailable",
      object: "ttrpc: closed",
    });
    await client.closed;
  });
});

describe("a stream", () => {
  test("to the server sends an open request, messages, and its end", async () => {
    const { client, sent, peer } = harness();
    const stream = client.openStream("a.B", "C", "client");
    await stream.send(bytes(1));
    await stream.send(bytes());
    await stream.closeSend();
    expect(sent().map(({ header }) => [header.stream, header.type, header.flags, header.length])).toEqual([
      [1, 1, 2, sent()[0]?.body.length],
      [1, 3, 0, 1],
      [1, 3, 0, 0],
      [1, 3, 5, 0],
    ]);
    await expect(stream.send(bytes(2))).rejects.toMatchObject({ code: "failed-precondition" });
    await peer.send(responseFrame(1, { payload: bytes() }));
    expect([await stream.receive(), await stream.receive()]).toEqual([bytes(), undefined]);
  });

  test("from the server sends its request, closed, and reads to the end", async () => {
    const { client, sent, peer } = harness();
    const stream = client.openStream("a.B", "C", "server", bytes(9));
    expect(sent()[0]?.header).toMatchObject({ type: 1, flags: 1 });
    expect(decodeRequest(sent()[0]?.body ?? bytes()).payload).toEqual(bytes(9));
    await peer.send(rawFrame(1, 3, 0, bytes(1)), rawFrame(1, 3, 0), rawFrame(1, 3, 1, bytes(2)));
    const received = [
      await stream.receive(),
      await stream.receive(),
      await stream.receive(),
      await stream.receive(),
    ];
    expect(received).toEqual([bytes(1), bytes(), bytes(2), undefined]);
    expect(await stream.receive()).toBeUndefined();
  });

  test("gives what came before an error, then the error", async () => {
    const { client, peer } = harness();
    const stream = client.openStream("a.B", "C", "both");
    await peer.send(rawFrame(1, 3, 0, bytes(1)), responseFrame(1, { status: { code: 10, message: "no" } }));
    await settle();
    expect(await stream.receive()).toEqual(bytes(1));
    await expect(stream.receive()).rejects.toMatchObject({ code: "aborted", object: "no" });
    await expect(stream.send(bytes())).rejects.toMatchObject({ code: "aborted" });
  });

  test("that is given up drops what still comes", async () => {
    const { client, peer } = harness();
    const stream = client.openStream("a.B", "C", "both");
    const waiting = stream.receive();
    stream.cancel();
    await expect(waiting).rejects.toMatchObject({ code: "cancelled" });
    await peer.send(rawFrame(1, 3, 0, bytes(1)));
    await settle();
    await expect(stream.receive()).rejects.toMatchObject({ code: "cancelled" });
  });

  test("that nobody reads holds the connection up for a second, then fails; other calls go on", async () => {
    const { client, peer, clock } = harness();
    const stream = client.openStream("a.B", "C", "server", bytes());
    const call = client.call("a.B", "D", bytes());
    for (let index = 0; index < 64; index++) await peer.send(rawFrame(1, 3, 0, bytes(index)));
    await peer.send(responseFrame(3, { payload: bytes(3) }));
    await settle();
    clock.advance(1000);
    expect(await call).toEqual(bytes(3));
    for (let index = 0; index < 64; index++) expect(await stream.receive()).toEqual(bytes(index));
    await expect(stream.receive()).rejects.toMatchObject({
      code: "resource-exhausted",
      object: "stream buffer full",
    });
  });

  test("goes on when it is read in time", async () => {
    const { client, peer, clock } = harness();
    const stream = client.openStream("a.B", "C", "server", bytes());
    for (let index = 0; index < 200; index++) await peer.send(rawFrame(1, 3, 0, bytes(index)));
    await settle();
    for (let index = 0; index < 200; index++) expect(await stream.receive()).toEqual(bytes(index));
    expect(clock.pending).toBe(0);
  });

  test("fails when the connection ends, or is ended already", async () => {
    const { client, server } = harness();
    const stream = client.openStream("a.B", "C", "both");
    server.close();
    await client.closed;
    await expect(stream.receive()).rejects.toMatchObject({ code: "unavailable" });
    await expect(client.openStream("a.B", "C", "both").receive()).rejects.toMatchObject({
      code: "unavailable",
    });
  });
});

describe("a client on a stream that outlives its connections", () => {
  const old = responseFrame(1, { payload: bytes(...Array(40).fill(0)) });

  test.each<[what: string, left: Uint8Array]>([
    ["nothing", bytes()],
    ["whole answers", bytes(...old, ...old)],
    ["the end of an answer", old.subarray(13)],
    ["the end of a header", old.subarray(4)],
    ["zeros", bytes(...Array(9).fill(0))],
    ["a length over the bound", rawFrame(1, 2, 0, bytes(1), 0xffff_fff0)],
    ["its own id, but as data", rawFrame(99, 3, 0)],
  ])("passes over %s in front of its first answer", async (_what, left) => {
    const { client, peer } = harness({ lasting: { firstStream: 99 } });
    await peer.send(left);
    const call = client.call("a.B", "C", bytes());
    await settle();
    await peer.send(responseFrame(99, { payload: bytes(6) }));
    expect(await call).toEqual(bytes(6));
    const next = client.call("a.B", "C", bytes());
    await peer.send(responseFrame(101, { payload: bytes(7) }));
    expect(await next).toEqual(bytes(7));
  });
});
