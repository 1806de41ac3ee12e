import { describe, expect, test } from "vitest";
import { Durations, family } from "./prometheus-text.ts";

test("family() writes samples with their labels, escaped as the format has it", () => {
  expect(
    family("kata_x", "What it is.", [
      [{ item: 'a"b\\c\nd', cpu: "0" }, 1.5],
      [{}, 2],
    ]),
  ).toBe(
    '# HELP kata_x What it is.\n# TYPE kata_x gauge\nkata_x{item="a\\"b\\\\c\\nd",cpu="0"} 1.5\nkata_x 2\n',
  );
  expect(family("kata_x", "What it is.", [])).toBe("");
});

describe("Durations", () => {
  test("counts into cumulative buckets from 1 to 512 ms, and what takes longer", () => {
    const durations = new Durations();
    for (const ms of [0.5, 1, 3, 600]) durations.observe("create", ms);
    const lines = durations.text("kata_d", "How long.").split("\n");
    expect(lines.slice(0, 5)).toEqual([
      "# HELP kata_d How long.",
      "# TYPE kata_d histogram",
      'kata_d_bucket{action="create",le="1"} 2',
      'kata_d_bucket{action="create",le="2"} 2',
      'kata_d_bucket{action="create",le="4"} 3',
    ]);
    expect(lines.slice(11)).toEqual([
      'kata_d_bucket{action="create",le="512"} 3',
      'kata_d_bucket{action="create",le="+Inf"} 4',
      'kata_d_sum{action="create"} 604.5',
      'kata_d_count{action="create"} 4',
      "",
    ]);
  });

  test("says nothing of what never was, and keeps a bounded number of names", () => {
    expect(new Durations().text("kata_d", "How long.")).toBe("");
    const durations = new Durations();
    for (let number = 0; number < 1000; number++) durations.observe(`call ${number}`, 1);
    expect(durations.text("kata_d", "How long.").match(/_count/g)).toHaveLength(128);
  });
});
