import { describe, expect, test } from "vitest";
import { phasesOf } from "./trace-phases.ts";

const row = (tid: number, name: string) => ({ ph: "M", name: "thread_name", pid: 7, tid, args: { name } });
const phase = (tid: number, name: string, ts: number, dur: number) => ({
  ph: "X",
  name,
  pid: 7,
  tid,
  ts,
  dur,
});
const traceOf = (...traceEvents: readonly object[]) => JSON.stringify({ traceEvents });

describe("phasesOf", () => {
  test("names phases by their rows, in the order of their beginnings, and adds up what came again", () => {
    const text = traceOf(
      row(0, "calls"),
      row(5, "guest"),
      phase(5, "clone", 2000, 1500),
      phase(0, "Create", 1000, 9000),
      phase(5, "clone", 5000, 500),
    );
    expect([...phasesOf(text)]).toEqual([
      ["calls: Create", 9],
      ["guest: clone", 2],
    ]);
  });

  test("keeps the same name of two rows apart", () => {
    const text = traceOf(
      row(0, "calls"),
      row(1, "shim"),
      phase(0, "serve", 0, 1000),
      phase(1, "serve", 0, 2000),
    );
    expect([...phasesOf(text).keys()]).toEqual(["calls: serve", "shim: serve"]);
  });

  test("refuses what is no trace", () => {
    expect(() => phasesOf("{")).toThrow(SyntaxError);
    expect(() => phasesOf("{}")).toThrow(TypeError);
  });
});
