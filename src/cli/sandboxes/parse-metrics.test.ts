import { expect, test } from "vitest";
import { family } from "../../sys/metrics/prometheus-text.ts";
import { parseMetrics } from "./parse-metrics.ts";

test("parseMetrics() reads what family() writes", () => {
  const labels = { item: 'a"b\\c\nd', cpu: "0" };
  expect(
    parseMetrics(
      family("kata_x", 'Help {with="braces"} 1', [
        [labels, 1.5],
        [{}, 2],
      ]),
    ),
  ).toEqual([
    { name: "kata_x", labels, value: 1.5 },
    { name: "kata_x", labels: {}, value: 2 },
  ]);
});

test("parseMetrics() keeps what JSON has no number for, drops timestamps, passes over the rest", () => {
  expect(parseMetrics('a{le="+Inf"} +Inf 1700000000000\nb NaN\n# c 1\nd\n{} 2\n')).toEqual([
    { name: "a", labels: { le: "+Inf" }, value: "+Inf" },
    { name: "b", labels: {}, value: "NaN" },
  ]);
});
