import { expect, test } from "vitest";
import { ratesOf } from "./run-top.ts";

const reading = (id: string, seconds: number) => ({
  id,
  name: "",
  kind: "container" as const,
  seconds,
  memory: 1,
  limit: 2,
  pids: 3,
});

test("ratesOf() tells percent of one processor between two readings, and 0 for what is new or has begun anew", () => {
  const rows = ratesOf(
    [reading("a", 1), reading("b", 5)],
    [reading("a", 1.5), reading("b", 1), reading("c", 9)],
    2,
  );
  expect(rows.map(({ id, cpu }) => [id, cpu])).toEqual([
    ["a", 25],
    ["b", 0],
    ["c", 0],
  ]);
  expect(rows[0]).toEqual({ id: "a", name: "", kind: "container", memory: 1, limit: 2, pids: 3, cpu: 25 });
});
