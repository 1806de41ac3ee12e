import { expect, test } from "vitest";
import { CancelSource, orCancelled, throwIfCancelled } from "./cancellation.ts";

test("CancelSource fires once, with its first reason", () => {
  const source = new CancelSource();
  let fired = 0;
  source.signal.addEventListener("abort", () => fired++);
  throwIfCancelled(source.signal);
  source.cancel("first");
  source.cancel("second");
  expect([fired, source.signal.aborted, source.signal.reason]).toEqual([1, true, "first"]);
  expect(() => throwIfCancelled(source.signal)).toThrow("first");
});

test("CancelSource follows its parent, also one that has fired before", () => {
  const parent = new CancelSource();
  const child = new CancelSource(parent.signal);
  parent.cancel("gone");
  expect(child.signal.reason).toBe("gone");
  expect(new CancelSource(parent.signal).signal.reason).toBe("gone");
});

test("a listener that was removed hears nothing", () => {
  const source = new CancelSource();
  const listener = () => expect.unreachable();
  source.signal.addEventListener("abort", listener);
  source.signal.removeEventListener("abort", listener);
  source.cancel();
});

test("orCancelled() settles as the work does, or rejects when the signal fires first", async () => {
  const source = new CancelSource();
  expect(await orCancelled(Promise.resolve(1), source.signal)).toBe(1);
  expect(await orCancelled(Promise.resolve(2), undefined)).toBe(2);
  const never = orCancelled(new Promise(() => undefined), source.signal);
  source.cancel(new Error("given up"));
  await expect(never).rejects.toThrow("given up");
  // A failure of work that nobody waits for any more is no unhandled rejection.
  await expect(orCancelled(Promise.reject(new Error("late")), source.signal)).rejects.toThrow("given up");
});

test("an AbortSignal of the platform is a CancelSignal", async () => {
  const controller = new AbortController();
  const waiting = orCancelled(new Promise(() => undefined), controller.signal);
  controller.abort(new Error("aborted"));
  await expect(waiting).rejects.toThrow("aborted");
});
