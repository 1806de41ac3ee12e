import { describe, expect, test } from "vitest";
import { FakeClock } from "../../../sys/testing/fake-clock.ts";
import { type MonitorStream, QmpClient } from "./qmp-client.ts";

const GREETING =
  '{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":""},"capabilities":[]}}\r\n';

/** QEMU's side of a connection: what it says, and what it was told. */
class FakeMonitor implements MonitorStream {
  readonly told: { execute: string; arguments: unknown; id: number }[] = [];
  readonly descriptors: number[][] = [];
  closed = false;
  readonly #chunks: Uint8Array[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  say(text: string): void {
    this.#chunks.push(new TextEncoder().encode(text));
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async read(into: Uint8Array): Promise<number> {
    while (this.#chunks.length === 0 && !this.#ended && !this.closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return 0;
    const part = chunk.subarray(0, into.length);
    if (part.length < chunk.length) this.#chunks.unshift(chunk.subarray(part.length));
    into.set(part);
    return part.length;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.told.push(JSON.parse(new TextDecoder().decode(bytes)));
  }

  async writeWithDescriptors(bytes: Uint8Array, descriptors: readonly number[]): Promise<void> {
    this.descriptors.push([...descriptors]);
    await this.write(bytes);
  }

  close(): void {
    this.closed = true;
    this.#wake?.();
  }
}

/** Lets everything run that is due. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

async function connected(): Promise<{ monitor: FakeMonitor; clock: FakeClock; client: QmpClient }> {
  const monitor = new FakeMonitor();
  const clock = new FakeClock();
  const connecting = QmpClient.connect(monitor, clock);
  monitor.say(GREETING);
  await settle();
  monitor.say('{"return": {}, "id": 1}\r\n');
  return { monitor, clock, client: await connecting };
}

describe("QmpClient", () => {
  test("leaves negotiation mode after the greeting and knows the version", async () => {
    const { monitor, client, clock } = await connected();
    expect(client.version).toBe("7.2.22");
    expect(monitor.told).toEqual([{ execute: "qmp_capabilities", arguments: {}, id: 1 }]);
    expect(clock.pending).toBe(0);
  });

  test("gives answers to the commands that they belong to, however the bytes come", async () => {
    const { monitor, client } = await connected();
    const [first, second] = [client.execute("query-status", {}), client.execute("query-pci", {})];
    const text =
      '{"return": ["second"], "id": 3}\r\n{"event":"RESUME","timestamp":{}}\r\n{"return": "first", "id": 2}\r\n';
    for (const byte of text) {
      monitor.say(byte);
      await settle();
    }
    expect(await Promise.all([first, second])).toEqual(["first", ["second"]]);
  });

  test.each([
    ["DeviceNotFound", "not-found"],
    ["CommandNotFound", "unsupported"],
    ["GenericError", "hypervisor-error"],
  ])("turns an error of class %s into %s with QEMU's words", async (errorClass, code) => {
    const { monitor, client } = await connected();
    const answer = client.execute("device_del", { id: "x" });
    monitor.say(`{"error": {"class": "${errorClass}", "desc": "Device 'x' is not there"}, "id": 2}\n`);
    await expect(answer).rejects.toMatchObject({ code, message: "QEMU device_del: Device 'x' is not there" });
  });

  test("sends descriptors along with their command", async () => {
    const { monitor, client } = await connected();
    const answer = client.execute("getfd", { fdname: "tap" }, { descriptors: [17] });
    monitor.say('{"return": {}, "id": 2}\n');
    await answer;
    expect(monitor.descriptors).toEqual([[17]]);
  });

  test("waits for the event that is meant", async () => {
    const { monitor, client } = await connected();
    const gone = client.nextEvent("DEVICE_DELETED", ({ device }) => device === "b", 1000);
    monitor.say('{"event":"DEVICE_DELETED","data":{"device":"a"},"timestamp":{}}\n');
    monitor.say('{"event":"DEVICE_DELETED","data":{"device":"b","path":"/p"},"timestamp":{}}\n');
    expect(await gone).toEqual({ device: "b", path: "/p" });
  });

  test("gives a command up at its deadline and ignores its late answer", async () => {
    const { monitor, client, clock } = await connected();
    const answer = client.execute("query-status", {});
    clock.advance(10_000);
    await expect(answer).rejects.toMatchObject({ code: "deadline-exceeded" });
    monitor.say('{"return": {}, "id": 2}\n');
    const next = client.execute("query-status", {});
    monitor.say('{"return": 1, "id": 3}\n');
    expect(await next).toBe(1);
  });

  test("fails everything that waits when QEMU hangs up, and all that comes later", async () => {
    const { monitor, client } = await connected();
    const waiting = [client.execute("query-status", {}), client.nextEvent("STOP", () => true, 1000)].map(
      (work) => expect(work).rejects.toMatchObject({ code: "unavailable" }),
    );
    monitor.end();
    await Promise.all(waiting);
    await expect(client.execute("cont", {})).rejects.toMatchObject({ code: "unavailable" });
    expect(monitor.closed).toBe(true);
  });

  test.each([
    ["no JSON", "Welcome to the machine\n"],
    ["JSON that is none of the protocol's", '{"hello": 1}\n'],
    ["a line without an end", "x".repeat((4 << 20) + 1)],
  ])("hangs up on %s", async (_what, text) => {
    const { monitor, client } = await connected();
    const answer = client.execute("query-status", {});
    monitor.say(text);
    await expect(answer).rejects.toMatchObject({ code: "unavailable" });
    expect(monitor.closed).toBe(true);
  });

  test("gives up a monitor that does not greet", async () => {
    const monitor = new FakeMonitor();
    const clock = new FakeClock();
    const connecting = QmpClient.connect(monitor, clock);
    clock.advance(20_000);
    await expect(connecting).rejects.toMatchObject({ code: "deadline-exceeded" });
    expect(monitor.closed).toBe(true);
  });
});
