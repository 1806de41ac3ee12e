import { expect, test } from "vitest";
import { FakeClock } from "../sys/testing/fake-clock.ts";
import { firstEnd } from "./sandbox-end.ts";

const NEVER = new Promise<never>(() => undefined);
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("firstEnd() tells the machine's reason if it took the file server along", async () => {
  const clock = new FakeClock();
  let end: (exit: { reason: string }) => void = () => undefined;
  const exited = new Promise<{ reason: string }>((resolve) => {
    end = resolve;
  });
  const ended = firstEnd(
    { machine: { exited }, fileServerEnded: Promise.resolve("virtiofsd exited") },
    clock,
  );
  await settle();
  clock.advance(100);
  end({ reason: "QEMU was killed by signal 9" });
  expect(await ended).toBe("QEMU was killed by signal 9");
});

test("firstEnd() tells of the file server if the machine lives on", async () => {
  const clock = new FakeClock();
  const ended = firstEnd(
    { machine: { exited: NEVER }, fileServerEnded: Promise.resolve("virtiofsd died") },
    clock,
  );
  await settle();
  clock.advance(500);
  expect(await ended).toBe("virtiofsd died");
});

test("firstEnd() tells of the agent's connection if nothing else has ended", async () => {
  const clock = new FakeClock();
  const ended = firstEnd(
    { machine: { exited: NEVER }, fileServerEnded: NEVER, agentClosed: Promise.resolve() },
    clock,
  );
  await settle();
  clock.advance(3000);
  expect(await ended).toBe("the agent's connection ended");
});
