/** What the server answers, frame by frame. Expectations: ttrpc's protocol and the conduct of containerd's implementation. */
import { describe, expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { CancelSource } from "../sys/cancellation.ts";
import { MAX_BODY_BYTES } from "./frame.ts";
import { MAX_CALLS } from "./server.ts";
import { bytes, rawFrame, type SeenFrame, settle } from "./testing/raw-peer.ts";
import { ECHO, harness, unary } from "./testing/server-harness.ts";
import type { CallContext } from "./types.ts";

/** Never answers. */
const HANG = unary(() => new Promise(() => undefined));

describe("requests that are none", () => {
  const answers: [what: string, sent: Uint8Array, answer: SeenFrame][] = [
    [
      "an even id",
      rawFrame(2, 1, 0),
      { stream: 2, status: 3, message: "StreamID must be odd for client initiated streams" },
    ],
    [
      "id 0",
      rawFrame(0, 1, 0),
      { stream: 0, status: 3, message: "StreamID must be odd for client initiated streams" },
    ],
    [
      "data of no stream",
      rawFrame(5, 3, 0, bytes(1)),
      { stream: 5, status: 3, message: "StreamID is no longer active" },
    ],
    [
      "a body that is no request",
      rawFrame(1, 1, 0, bytes(0x0a, 5)),
      { stream: 1, status: 3, message: "decode message: a field is longer than its message" },
    ],
    [
      "a body over the bound",
      rawFrame(1, 1, 0, new Uint8Array(MAX_BODY_BYTES + 1)),
      { stream: 1, status: 8, message: "message length 4194305 exceed maximum message size of 4194304" },
    ],
  ];
  test.each(answers)(
    "%s is answered with an error, and the connection goes on",
    async (_what, sent, answer) => {
      const { peer, call, served, client } = harness({ Echo: ECHO });
      await peer.send(sent);
      expect(await peer.next()).toEqual(answer);
      await call(7, "Echo", bytes(1, 2));
      expect(await peer.next()).toEqual({ stream: 7, payload: [1, 2] });
      client.close();
      await served;
    },
  );

  test.each([
    ["a response", 2],
    ["type 0", 0],
    ["type 4", 4],
    ["type 255", 255],
  ])("%s is passed over", async (_what, type) => {
    const { peer, call } = harness({ Echo: ECHO });
    await peer.send(rawFrame(1, type, 0, bytes(9, 9)));
    await call(3, "Echo", bytes(3));
    expect(await peer.next()).toEqual({ stream: 3, payload: [3] });
  });

  test("an id that is not above the last one is refused", async () => {
    const { peer, call } = harness({ Echo: ECHO });
    await call(5, "Echo");
    expect(await peer.next()).toEqual({ stream: 5, payload: [] });
    for (const id of [5, 3]) {
      await call(id, "Echo");
      expect(await peer.next()).toEqual({
        stream: id,
        status: 3,
        message: "StreamID cannot be re-used and must increment",
      });
    }
  });

  test("an unknown service or method is unimplemented", async () => {
    const { peer, call } = harness({ Echo: ECHO });
    await peer.request(1, { service: "other.Service", method: "Echo" });
    expect(await peer.next()).toEqual({ stream: 1, status: 12, message: "service other.Service" });
    await call(3, "toString");
    expect(await peer.next()).toEqual({ stream: 3, status: 12, message: "method toString" });
  });

  test("a length that no peer would send ends the connection", async () => {
    const { peer, served } = harness({ Echo: ECHO });
    await peer.send(rawFrame(1, 1, 0, bytes(), 0xffff_ffff));
    await served;
    expect(await peer.next()).toBeUndefined();
  });

  test("data for a unary call is refused, and the call goes on", async () => {
    let answer: (payload: Uint8Array) => void = () => undefined;
    const { peer, call } = harness({
      Wait: unary(
        () =>
          new Promise((resolve) => {
            answer = resolve;
          }),
      ),
    });
    await call(1, "Wait");
    await peer.send(rawFrame(1, 3, 0, bytes(1)));
    expect(await peer.next()).toEqual({ stream: 1, status: 3, message: "StreamID is no longer active" });
    answer(bytes(4));
    expect(await peer.next()).toEqual({ stream: 1, payload: [4] });
  });
});

describe("answers", () => {
  test("go out in the order in which they are ready", async () => {
    const waiting = new Map<number, (payload: Uint8Array) => void>();
    const { peer, call } = harness({
      Wait: unary((request) => new Promise((resolve) => waiting.set(request[0] ?? 0, resolve))),
    });
    for (const id of [1, 3, 5]) await call(id, "Wait", bytes(id));
    await settle();
    for (const id of [5, 1, 3]) waiting.get(id)?.(bytes(id));
    const order = [await peer.next(), await peer.next(), await peer.next()];
    expect(order).toEqual([5, 1, 3].map((id) => ({ stream: id, payload: [id] })));
  });

  test.each<[what: string, error: unknown, status: number, message: string]>([
    ["of a status", new KataError("not-found", { operation: "find", object: "x" }), 5, "find: x"],
    [
      "of a system call",
      new KataError("system-call", { operation: "open", object: "/x", errno: "EACCES" }),
      7,
      "open: /x: EACCES",
    ],
    ["that is no KataError", new TypeError("x is not a function"), 2, "x is not a function"],
    ["that is no Error", "text", 2, "text"],
  ])("carry the error of a handler %s", async (_what, error, status, message) => {
    const failures: unknown[] = [];
    const { peer, call } = harness(
      { Fail: unary(async () => Promise.reject(error)) },
      { onFailure: (...failure) => failures.push(failure) },
    );
    await call(1, "Fail");
    expect(await peer.next()).toEqual({ stream: 1, status, message });
    expect(failures).toEqual([["test.Service", "Fail", error]]);
  });

  test("carry the error of a handler that throws at once", async () => {
    const { peer, call } = harness({
      Fail: unary(() => {
        throw new KataError("aborted", { operation: "do", object: "it" });
      }),
    });
    await call(1, "Fail");
    expect(await peer.next()).toEqual({ stream: 1, status: 10, message: "do: it" });
  });

  test("over the bound become an error, and the connection goes on", async () => {
    const { peer, call } = harness({ Echo: ECHO, Large: unary(async () => new Uint8Array(MAX_BODY_BYTES)) });
    await call(1, "Large");
    // The payload and what is around it.
    const message = `send ttrpc message: message length ${MAX_BODY_BYTES + 5} exceed maximum message size of ${MAX_BODY_BYTES}`;
    expect(await peer.next()).toEqual({ stream: 1, status: 8, message });
    await call(3, "Echo");
    expect(await peer.next()).toEqual({ stream: 3, payload: [] });
  });

  test("are one write each, and an error with a huge text is cut", async () => {
    const { peer, call, server } = harness({
      Echo: ECHO,
      Fail: unary(async () => Promise.reject(new Error("x".repeat(10 << 20)))),
    });
    await call(1, "Echo", new Uint8Array(100_000));
    await peer.next();
    expect(server.writes.length).toBe(1);
    await call(3, "Fail");
    expect(await peer.next()).toEqual({ stream: 3, status: 2, message: "x".repeat(64 * 1024) });
  });
});

describe("the context of a call", () => {
  test("has the metadata by lower-case names, all values in their order", async () => {
    let context: CallContext | undefined;
    const { peer } = harness({
      Look: unary(async (_request, given) => {
        context = given;
        return bytes();
      }),
    });
    const metadata = [
      { key: "Containerd-Namespace-Ttrpc", value: "k8s.io" },
      { key: "b", value: "1" },
      { key: "B", value: "2" },
    ];
    await peer.request(1, { service: "test.Service", method: "Look", metadata, timeoutNano: 1_500_000_000 });
    await peer.next();
    expect(context?.metadata).toEqual(
      new Map([
        ["containerd-namespace-ttrpc", ["k8s.io"]],
        ["b", ["1", "2"]],
      ]),
    );
    expect(context?.timeoutMs).toBe(1500);
  });

  test("fires, and the call is answered, when the caller's time is up", async () => {
    let signal: CallContext["signal"] | undefined;
    let finish: (payload: Uint8Array) => void = () => undefined;
    const { peer, clock, call } = harness({
      Echo: ECHO,
      Wait: unary((_request, context) => {
        signal = context.signal;
        return new Promise((resolve) => {
          finish = resolve;
        });
      }),
    });
    await call(1, "Wait", bytes(), 20_000_000);
    await settle();
    clock.advance(19);
    expect(signal?.aborted).toBe(false);
    clock.advance(1);
    expect(signal).toMatchObject({ aborted: true, reason: { code: "deadline-exceeded" } });
    expect(await peer.next()).toEqual({ stream: 1, status: 4, message: "timeout" });
    // What the handler still says is not sent.
    finish(bytes(1));
    await call(3, "Echo");
    expect(await peer.next()).toEqual({ stream: 3, payload: [] });
    expect(clock.pending).toBe(0);
  });

  test("is not made for a caller whose time was up before", async () => {
    const { peer, call } = harness({ Echo: ECHO });
    await call(1, "Echo", bytes(), -1);
    expect(await peer.next()).toEqual({ stream: 1, status: 4, message: "timeout" });
  });

  test("fires when the connection ends, also if it is looked at only then", async () => {
    const contexts: CallContext[] = [];
    const { call, served, client, clock } = harness({
      Wait: unary((_request, context) => {
        contexts.push(context);
        return new Promise(() => undefined);
      }),
    });
    await call(1, "Wait");
    await call(3, "Wait", bytes(), 1e9);
    await settle();
    const early = contexts[0]?.signal;
    expect(early?.aborted).toBe(false);
    client.close();
    await served;
    expect(early).toMatchObject({ aborted: true, reason: { code: "unavailable" } });
    expect(contexts[1]?.signal).toMatchObject({ aborted: true, reason: { code: "unavailable" } });
    expect(clock.pending).toBe(0);
  });
});

describe("bounds of a connection", () => {
  test("more than MAX_CALLS calls under way are refused", async () => {
    const { peer, call } = harness({ Hang: HANG });
    for (let index = 0; index < MAX_CALLS; index++) await call(index * 2 + 1, "Hang");
    await call(MAX_CALLS * 2 + 1, "Hang");
    expect(await peer.next()).toEqual({
      stream: MAX_CALLS * 2 + 1,
      status: 8,
      message: "too many calls are under way on this connection",
    });
  });

  test("requests of calls under way have a bound together", async () => {
    const { peer, call } = harness({ Hang: HANG });
    const large = new Uint8Array(MAX_BODY_BYTES - 100);
    for (let index = 0; index < 9; index++) await call(index * 2 + 1, "Hang", large);
    expect(await peer.next()).toMatchObject({ stream: 17, status: 8 });
  });

  test("answers that the peer does not take count, too", async () => {
    const large = new Uint8Array(MAX_BODY_BYTES - 100);
    const { peer, call, server } = harness({ Echo: ECHO, Large: unary(async () => large) });
    // A peer that does not read: writes do not end.
    const unsent: (() => void)[] = [];
    const write = server.write.bind(server);
    server.write = (frame) =>
      new Promise((resolve) => {
        unsent.push(() => resolve(write(frame)));
      });
    for (let index = 0; index < 8; index++) await call(index * 2 + 1, "Large");
    await settle();
    await call(17, "Echo", new Uint8Array(1000));
    await settle();
    server.write = write;
    for (const send of unsent) send();
    const answers: (SeenFrame | undefined)[] = [];
    for (let index = 0; index < 9; index++) answers.push(await peer.next());
    expect(answers.at(-1)).toMatchObject({ stream: 17, status: 8 });
    await settle();
    await call(19, "Echo", bytes(1));
    expect(await peer.next()).toEqual({ stream: 19, payload: [1] });
  });

  test("a call whose time was up counts until its handler has ended", async () => {
    const ends: (() => void)[] = [];
    const { peer, call, clock } = harness({
      Wait: unary(() => new Promise((resolve) => ends.push(() => resolve(bytes())))),
    });
    for (let index = 0; index < MAX_CALLS; index++) await call(index * 2 + 1, "Wait", bytes(), 1e6);
    await settle();
    clock.advance(1);
    for (let index = 0; index < MAX_CALLS; index++) await peer.next();
    await call(MAX_CALLS * 2 + 1, "Wait");
    expect(await peer.next()).toMatchObject({ status: 8 });
    for (const end of ends) end();
    await settle();
    await call(MAX_CALLS * 2 + 3, "Wait");
    await settle();
    ends.at(-1)?.();
    expect(await peer.next()).toEqual({ stream: MAX_CALLS * 2 + 3, payload: [] });
  });
});

describe("a server that is told to stop", () => {
  test("closes an idle connection at once", async () => {
    const stop = new CancelSource();
    const { served, peer } = harness({}, { stop: stop.signal });
    await settle();
    stop.cancel();
    await served;
    expect(await peer.next()).toBeUndefined();
  });

  test("answers what is under way, refuses what comes, and then hangs up", async () => {
    const stop = new CancelSource();
    let finish: (payload: Uint8Array) => void = () => undefined;
    const { served, peer, call } = harness(
      {
        Wait: unary(
          () =>
            new Promise((resolve) => {
              finish = resolve;
            }),
        ),
      },
      { stop: stop.signal },
    );
    await call(1, "Wait");
    await settle();
    stop.cancel();
    await call(3, "Wait");
    expect(await peer.next()).toEqual({ stream: 3, status: 14, message: "the server is stopping" });
    finish(bytes(1));
    expect(await peer.next()).toEqual({ stream: 1, payload: [1] });
    expect(await peer.next()).toBeUndefined();
    await served;
  });
});

describe("a stream that outlives its connections", () => {
  test("takes an id that is not above the last one for a new client, and drops the old one's calls", async () => {
    const seen: CallContext[] = [];
    const { peer, call } = harness(
      {
        Echo: ECHO,
        Wait: unary((_request, context) => {
          seen.push(context);
          return new Promise(() => undefined);
        }),
      },
      { lasting: true },
    );
    await call(101, "Wait");
    await call(103, "Echo", bytes(1));
    expect(await peer.next()).toEqual({ stream: 103, payload: [1] });
    await call(55, "Echo", bytes(2));
    expect(await peer.next()).toEqual({ stream: 55, payload: [2] });
    expect(seen[0]?.signal.aborted).toBe(true);
    await call(57, "Echo", bytes(3));
    expect(await peer.next()).toEqual({ stream: 57, payload: [3] });
  });
});
