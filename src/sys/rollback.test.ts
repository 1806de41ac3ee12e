import { expect, test } from "vitest";
import { Rollback } from "./rollback.ts";

test("Rollback runs its steps in reverse order when one of them fails, and names the failure", async () => {
  const order: string[] = [];
  const rollback = new Rollback();
  rollback.add("first", () => void order.push("first"));
  rollback.add("second", () => {
    order.push("second");
    throw new Error("stuck");
  });
  rollback.add("third", async () => void order.push("third"));
  await expect(rollback.run()).rejects.toMatchObject({
    code: "cleanup-failed",
    message: "give back: second: stuck",
  });
  expect(order).toEqual(["third", "second", "first"]);
  await rollback.run();
  expect(order).toHaveLength(3);
});

test("Rollback does nothing when what was acquired is kept", async () => {
  const rollback = new Rollback();
  rollback.add("first", () => expect.unreachable());
  rollback.keep();
  await rollback.run();
});

test("Rollback undoes an adopted rollback's steps before its own", async () => {
  const order: number[] = [];
  const outer = new Rollback();
  outer.add("1", () => void order.push(1));
  const inner = new Rollback();
  inner.add("2", () => void order.push(2));
  outer.adopt(inner);
  await inner.run();
  expect(order).toEqual([]);
  await outer.run();
  expect(order).toEqual([2, 1]);
});
