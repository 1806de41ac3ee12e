import { expect, test } from "vitest";
import { settledWithin, sleep, withDeadline } from "./clock.ts";
import { FakeClock } from "./testing/fake-clock.ts";

const WHAT = { operation: "wait", object: "nothing" };

test("sleep() resolves when its time has passed", async () => {
  const clock = new FakeClock();
  let awake = false;
  const sleeping = sleep(clock, 100).then(() => {
    awake = true;
  });
  clock.advance(99);
  await Promise.resolve();
  expect(awake).toBe(false);
  clock.advance(1);
  await sleeping;
});

test("withDeadline() settles as the work does and takes its timer back", async () => {
  const clock = new FakeClock();
  expect(await withDeadline(clock, 10, WHAT, Promise.resolve(7))).toBe(7);
  await expect(withDeadline(clock, 10, WHAT, Promise.reject(new Error("no")))).rejects.toThrow("no");
  await new Promise((resolve) => setImmediate(resolve));
  expect(clock.pending).toBe(0);
});

test("withDeadline() gives up at its time, in words", async () => {
  const clock = new FakeClock();
  const waiting = withDeadline(clock, 10, WHAT, new Promise(() => undefined));
  clock.advance(10);
  await expect(waiting).rejects.toMatchObject({
    code: "deadline-exceeded",
    message: "wait: nothing (no answer within 10 ms)",
  });
});

test("settledWithin() waits for the work, however it ends, and leaves no timer behind", async () => {
  const clock = new FakeClock();
  await settledWithin(clock, 10, Promise.resolve());
  await settledWithin(clock, 10, Promise.reject(new Error("no")));
  expect(clock.pending).toBe(0);
});

test("settledWithin() does not wait longer than its time", async () => {
  const clock = new FakeClock();
  const waiting = settledWithin(clock, 10, new Promise(() => undefined));
  clock.advance(10);
  await waiting;
});
