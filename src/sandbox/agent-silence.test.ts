import { expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { FakeClock } from "../sys/testing/fake-clock.ts";
import type { AgentConnection } from "./agent-client.ts";
import { endingWithSilence } from "./agent-silence.ts";

/** A connection whose agent answers as `check` does. */
function connection(check: AgentConnection["check"]): { agent: AgentConnection; close: () => void } {
  let close: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });
  return { agent: { calls: {} as AgentConnection["calls"], check, closed, close }, close };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

function noted(promise: Promise<void>): { readonly isOver: () => boolean } {
  let over = false;
  void promise.then(() => {
    over = true;
  });
  return { isOver: () => over };
}

const LATE = new KataError("deadline-exceeded", { operation: "check", object: "agent" });

test("a connection ends when the agent leaves a question without an answer, and not before", async () => {
  const clock = new FakeClock();
  const questions: (number | undefined)[] = [];
  const { agent } = connection((options) => {
    questions.push(options?.timeoutMs);
    return questions.length < 3 ? Promise.resolve({}) : Promise.reject(LATE);
  });
  const ended = noted(endingWithSilence(agent, clock).closed);
  for (const over of [false, false, true]) {
    clock.advance(10_000);
    await settle();
    expect(ended.isOver()).toBe(over);
  }
  clock.advance(100_000);
  await settle();
  expect(questions).toEqual([30_000, 30_000, 30_000]);
});

test("an agent that refuses the question is there", async () => {
  const clock = new FakeClock();
  const { agent } = connection(() =>
    Promise.reject(new KataError("permission-denied", { operation: "check", object: "policy" })),
  );
  const ended = noted(endingWithSilence(agent, clock).closed);
  clock.advance(10_000);
  await settle();
  expect(ended.isOver()).toBe(false);
});

test("an agent whose connection has ended is not asked any more", async () => {
  const clock = new FakeClock();
  let questions = 0;
  const { agent, close } = connection(() => Promise.resolve(++questions));
  const ended = noted(endingWithSilence(agent, clock).closed);
  close();
  await settle();
  expect(ended.isOver()).toBe(true);
  clock.advance(100_000);
  await settle();
  expect(questions).toBe(0);
});
