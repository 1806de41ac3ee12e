import { describe, expect, test } from "vitest";
import { encodeStreamInit } from "../../build/generated/streaming.ts";
import { decodeData, decodeWindowUpdate, encodeData } from "../../build/generated/transfer-data.ts";
import { KataError } from "../kata-error.ts";
import { CancelSource } from "../sys/cancellation.ts";
import type { PackedMessage } from "./any-type.ts";
import { NamedStreams } from "./named-streams.ts";

/** containerd's end of a stream. */
class Peer {
  readonly sent: PackedMessage[] = [];
  readonly ended: Promise<unknown>;
  readonly #connection = new CancelSource();
  readonly #incoming: (PackedMessage | undefined)[] = [];
  #wake: () => void = () => undefined;

  constructor(streams: NamedStreams, name: string) {
    this.says({
      typeUrl: "containerd.services.streaming.v1.StreamInit",
      value: encodeStreamInit({ id: name }),
    });
    const { signal } = this.#connection;
    const stream = {
      receive: async () => {
        while (this.#incoming.length === 0) {
          if (signal.aborted) throw signal.reason;
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
        return this.#incoming.shift();
      },
      send: async (message: { typeUrl?: string | undefined; value?: Uint8Array | undefined }) => {
        if (signal.aborted) throw signal.reason;
        this.sent.push({ typeUrl: message.typeUrl ?? "", value: message.value ?? new Uint8Array(0) });
      },
    };
    const context = { signal, metadata: new Map() };
    this.ended = streams.handlers.stream(stream, context).then(
      () => "ended",
      (error: unknown) => error,
    );
  }

  says(message: PackedMessage | undefined): void {
    this.#incoming.push(message);
    this.#wake();
  }

  sends(text: string): void {
    this.says({
      typeUrl: "containerd.types.transfer.Data",
      value: encodeData({ data: new TextEncoder().encode(text) }),
    });
  }

  /** The connection ends. */
  leaves(): void {
    this.#connection.cancel(new KataError("closed", { operation: "receive", object: "connection" }));
    this.#wake();
  }

  get data(): string {
    return this.sent
      .filter(({ typeUrl }) => typeUrl === "containerd.types.transfer.Data")
      .map(({ value }) => new TextDecoder().decode(decodeData(value).data))
      .join("");
  }

  get windows(): number[] {
    return this.sent
      .filter(({ typeUrl }) => typeUrl === "containerd.types.transfer.WindowUpdate")
      .map(({ value }) => decodeWindowUpdate(value).update);
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve));
const bytes = (text: string) => new TextEncoder().encode(text);

async function read(source: ReturnType<NamedStreams["input"]>, size = 100): Promise<string> {
  const into = new Uint8Array(size);
  return new TextDecoder().decode(into.subarray(0, await source.read(into)));
}

describe("an output", () => {
  test("is acknowledged, carried in messages that containerd's reader has room for, and ended", async () => {
    const streams = new NamedStreams();
    const peer = new Peer(streams, "c-stdout");
    await settle();
    expect(peer.sent).toEqual([{ typeUrl: "google.protobuf.Empty", value: new Uint8Array(0) }]);
    const sink = streams.output("c-stdout");
    const text = "x".repeat(100_000);
    await sink.write(bytes(text));
    expect(peer.data).toBe(text);
    expect(Math.max(...peer.sent.map(({ value }) => decodeData(value).data.length))).toBe(32768);
    sink.close();
    expect(await peer.ended).toBe("ended");
  });

  test("waits for its reader, and goes on with one that comes after a lost connection", async () => {
    const streams = new NamedStreams();
    const sink = streams.output("c-stdout");
    const first = sink.write(bytes("early"));
    const peer = new Peer(streams, "c-stdout");
    await first;
    expect(peer.data).toBe("early");
    peer.leaves();
    const second = sink.write(bytes("late"));
    await settle();
    const again = new Peer(streams, "c-stdout");
    await second;
    expect(again.data).toBe("late");
    sink.close();
    // Who asks once more is told of the end.
    expect(await new Peer(streams, "c-stdout").ended).toBe("ended");
  });

  test("that nobody reads is given up with its end", async () => {
    const sink = new NamedStreams().output("c-stdout");
    const writing = sink.write(bytes("x"));
    sink.close();
    await expect(writing).rejects.toEqual(expect.objectContaining({ code: "closed" }));
  });
});

describe("an input", () => {
  test("tells its sender of the room there is, and ends with it", async () => {
    const streams = new NamedStreams();
    const peer = new Peer(streams, "c-stdin");
    const source = streams.input("c-stdin");
    const reading = read(source, 3);
    await settle();
    expect(peer.windows).toEqual([65536]);
    peer.sends("hello");
    expect([await reading, await read(source, 3)]).toEqual(["hel", "lo"]);
    expect(peer.windows).toEqual([65536, 5]);
    peer.says(undefined);
    expect(await read(source)).toBe("");
    source.close();
    expect(await peer.ended).toBe("ended");
  });

  test("does not end with a lost connection", async () => {
    const streams = new NamedStreams();
    const source = streams.input("c-stdin");
    const peer = new Peer(streams, "c-stdin");
    const reading = read(source);
    await settle();
    peer.leaves();
    await settle();
    const again = new Peer(streams, "c-stdin");
    again.sends("more");
    expect(await reading).toBe("more");
  });
});

test.each([
  ["without a name", { typeUrl: "containerd.services.streaming.v1.StreamInit", value: new Uint8Array(0) }],
  ["that begins with something else", { typeUrl: "google.protobuf.Empty", value: new Uint8Array(0) }],
])("a stream %s is refused", async (_what, message) => {
  const stream = { receive: async () => message, send: async () => undefined };
  const context = { signal: new CancelSource().signal, metadata: new Map() };
  await expect(new NamedStreams().handlers.stream(stream, context)).rejects.toEqual(
    expect.objectContaining({ code: "invalid-argument" }),
  );
});
