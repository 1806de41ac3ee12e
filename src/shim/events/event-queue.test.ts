import { expect, test } from "vitest";
import { FakeClock } from "../../sys/testing/fake-clock.ts";
import { EventQueue, MAX_EVENT_AGE_MS, MAX_QUEUED_EVENTS } from "./event-queue.ts";
import type { TaskEvent } from "./task-events.ts";

const event = (name: string): TaskEvent => ({
  topic: `/tasks/${name}`,
  event: { typeUrl: name, value: new Uint8Array(0) },
});

class Bench {
  readonly clock = new FakeClock();
  readonly delivered: string[] = [];
  readonly errors: unknown[] = [];
  /** What a delivery does: undefined for success. */
  fails: (topic: string) => Error | undefined = () => undefined;
  readonly queue: EventQueue;

  constructor() {
    this.queue = new EventQueue({
      deliver: async ({ topic }, at) => {
        const failure = this.fails(topic);
        if (failure !== undefined) throw failure;
        this.delivered.push(`${topic} ${at}`);
      },
      clock: this.clock,
      wallClock: () => 1000 + this.clock.now(),
      logger: {
        debug: () => undefined,
        info: () => undefined,
        warn: () => undefined,
        error: (_message, fields) => void this.errors.push(fields),
      },
    });
  }

  /** Lets `ms` pass in steps, so that each retry gets its turn. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.clock.advance(100);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

test("events arrive in order, each with the time at which it happened", async () => {
  const bench = new Bench();
  for (const name of ["create", "start", "exit"]) {
    bench.queue.publish(event(name));
    bench.clock.advance(5);
  }
  await bench.queue.flushed(100);
  expect(bench.delivered).toEqual(["/tasks/create 1000", "/tasks/start 1005", "/tasks/exit 1010"]);
});

test("an event that does not arrive is tried again, and those behind it wait for it", async () => {
  const bench = new Bench();
  bench.fails = () => new Error("containerd is gone");
  bench.queue.publish(event("start"));
  bench.queue.publish(event("exit"));
  await bench.pass(30_000);
  expect(bench.delivered).toEqual([]);
  bench.fails = () => undefined;
  await bench.pass(5000);
  expect(bench.delivered).toEqual(["/tasks/start 1000", "/tasks/exit 1000"]);
  expect(bench.errors).toEqual([]);
});

test("an event that containerd never takes is given up, and does not hold up the others for ever", async () => {
  const bench = new Bench();
  bench.fails = (topic) => (topic === "/tasks/bad" ? new Error("refused") : undefined);
  bench.queue.publish(event("bad"));
  bench.queue.publish(event("good"));
  await bench.pass(MAX_EVENT_AGE_MS + 6000);
  expect(bench.delivered).toEqual(["/tasks/good 1000"]);
  expect(bench.errors).toEqual([{ topic: "/tasks/bad", reason: "refused" }]);
});

test("of too many events the oldest are given up", async () => {
  const bench = new Bench();
  bench.fails = () => new Error("containerd is gone");
  for (let count = 0; count < MAX_QUEUED_EVENTS + 2; count++) bench.queue.publish(event(String(count)));
  expect(bench.errors).toHaveLength(2);
  bench.fails = () => undefined;
  await bench.pass(5000);
  expect(bench.delivered).toHaveLength(MAX_QUEUED_EVENTS);
  expect(bench.delivered[0]).toBe("/tasks/2 1000");
});

test("flushed() does not wait for ever", async () => {
  const bench = new Bench();
  bench.fails = () => new Error("containerd is gone");
  bench.queue.publish(event("exit"));
  let settled = false;
  const flushed = bench.queue.flushed(2000).then(() => {
    settled = true;
  });
  await bench.pass(1900);
  expect(settled).toBe(false);
  await bench.pass(100);
  await flushed;
  expect(bench.delivered).toEqual([]);
});
