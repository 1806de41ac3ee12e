import { describe, expect, it } from "vitest";
import { parseBaseline, ratiosOf, regressions } from "./baseline.ts";
import { figure } from "./figure.ts";

describe("ratiosOf", () => {
  it("compares medians of times with runc's of the same name", () => {
    const figures = [
      figure("ctr-run", "runc", "ms", [100, 110, 120]),
      figure("ctr-run", "kata-pool", "ms", [200, 220, 240]),
      figure("exec", "kata-pool", "ms", [5]),
      figure("tcp-send", "runc", "bytes/s", [10]),
      figure("tcp-send", "kata", "bytes/s", [1]),
    ];
    expect(ratiosOf(figures)).toEqual({ "ctr-run kata-pool": 2 });
  });
});

describe("regressions", () => {
  it("lets a quarter more pass, and nothing beyond", () => {
    expect(regressions({ a: 2 }, { a: 2.5 })).toEqual([]);
    expect(regressions({ a: 2 }, { a: 2.6 })).toEqual(["a: 2.6 times runc, 30 % more than the baseline's 2"]);
  });

  it("compares nothing that only one of both has", () => {
    expect(regressions({ a: 2 }, { b: 200 })).toEqual([]);
  });
});

describe("parseBaseline", () => {
  it.each([["[]"], ["1"], ['{"a":"2"}'], ['{"a":0}'], ['{"a":null}']])("refuses %s", (text) => {
    expect(() => parseBaseline(text)).toThrow("no object of ratios");
  });

  it("reads what is written", () => {
    expect(parseBaseline('{"ctr-run kata-pool":2.88}')).toEqual({ "ctr-run kata-pool": 2.88 });
  });
});
