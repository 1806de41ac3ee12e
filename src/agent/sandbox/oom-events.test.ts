import { expect, test } from "vitest";
import { CancelSource } from "../../sys/cancellation.ts";
import { OomEvents } from "./oom-events.ts";

test("OomEvents keeps events until somebody asks", async () => {
  const events = new OomEvents();
  events.report("a");
  events.report("b");
  expect([await events.next(), await events.next()]).toEqual(["a", "b"]);
});

test("OomEvents tells an asker that waits, and loses nothing when another one has given up", async () => {
  const events = new OomEvents();
  const cancel = new CancelSource();
  const first = events.next(cancel.signal);
  const second = events.next();
  cancel.cancel("gone");
  await expect(first).rejects.toBe("gone");
  events.report("a");
  expect(await second).toBe("a");
});

test("OomEvents tells askers when the sandbox ends", async () => {
  const events = new OomEvents();
  const waiting = events.next();
  events.end();
  await expect(waiting).rejects.toMatchObject({ code: "unavailable" });
});
