import { expect, test } from "vitest";
import { follow, type ProcessState, type Verb } from "./process-state.ts";

const exit = { status: 3, at: 1000 };
const created: ProcessState = { name: "created" };
const running: ProcessState = { name: "running" };
const paused: ProcessState = { name: "paused" };
const stopped: ProcessState = { name: "stopped", exit };

test.each<[ProcessState, Verb, ProcessState]>([
  [created, { do: "start" }, running],
  [running, { do: "pause" }, paused],
  [paused, { do: "resume" }, running],
  [created, { do: "exit", exit }, stopped],
  [running, { do: "exit", exit }, stopped],
  [paused, { do: "exit", exit }, stopped],
])("follow(%j, %j)", (state, verb, next) => {
  expect(follow(state, verb)).toEqual(next);
});

test.each<[ProcessState, Verb, string]>([
  [running, { do: "start" }, "start process: it is running"],
  [stopped, { do: "start" }, "start process: it is stopped"],
  [created, { do: "pause" }, "pause process: it is created"],
  [paused, { do: "pause" }, "pause process: it is paused"],
  [running, { do: "resume" }, "resume process: it is running"],
  [stopped, { do: "exit", exit }, "exit process: it is stopped"],
])("follow(%j, %j) is refused", (state, verb, message) => {
  expect(() => follow(state, verb)).toThrow(
    expect.objectContaining({ code: "failed-precondition", message }),
  );
});
