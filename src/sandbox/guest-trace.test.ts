import { describe, expect, it } from "vitest";
import { MAX_PHASES } from "../sys/trace.ts";
import { movedTo, parseGuestTrace } from "./guest-trace.ts";

const PHASE = { lane: "guest", name: "clone", from: 100, to: 110 } as const;

describe("parseGuestTrace", () => {
  it("reads what the agent writes", () => {
    const text = JSON.stringify({ now: 120, phases: [PHASE, { ...PHASE, lane: "guest calls" }] });
    expect(parseGuestTrace(text)).toEqual({ now: 120, phases: [PHASE, { ...PHASE, lane: "guest calls" }] });
  });

  it.each([
    ["no JSON", "{"],
    ["no object", "[]"],
    ["no clock", JSON.stringify({ phases: [] })],
    ["no list", JSON.stringify({ now: 1, phases: {} })],
    ["a lane of the host's", JSON.stringify({ now: 1, phases: [{ ...PHASE, lane: "shim" }] })],
    ["a time that is text", JSON.stringify({ now: 1, phases: [{ ...PHASE, from: "1" }] })],
    ["a negative time", JSON.stringify({ now: 1, phases: [{ ...PHASE, to: -1 }] })],
    ["a phase that is null", JSON.stringify({ now: 1, phases: [null] })],
  ])("takes %s for nonsense", (_what, text) => {
    expect(parseGuestTrace(text)).toBeUndefined();
  });

  it("bounds how much a guest tells, and how long its names are", () => {
    const phases = Array.from({ length: MAX_PHASES + 5 }, () => ({ ...PHASE, name: "x".repeat(1000) }));
    const trace = parseGuestTrace(JSON.stringify({ now: 1, phases }));
    expect(trace?.phases).toHaveLength(MAX_PHASES);
    expect(trace?.phases[0]?.name).toHaveLength(128);
  });
});

describe("movedTo", () => {
  it("moves phases from the guest's clock to the host's", () => {
    expect(movedTo(1020, { now: 120, phases: [PHASE] })).toEqual([{ ...PHASE, from: 1000, to: 1010 }]);
  });
});
