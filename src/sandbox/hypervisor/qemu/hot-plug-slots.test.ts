import { expect, test } from "vitest";
import { HotPlugSlots } from "./hot-plug-slots.ts";

test("HotPlugSlots gives out the bridge's slots, then the ports, and says what to do when all are taken", () => {
  const slots = new HotPlugSlots(true, 2);
  const taken = Array.from({ length: 32 }, (_, index) => slots.take(`disk${index}`));
  expect(taken.slice(0, 2)).toEqual([
    { bus: "bridge0", device: 2 },
    { bus: "bridge0", device: 3 },
  ]);
  expect(taken.slice(29)).toEqual([
    { bus: "bridge0", device: 31 },
    { bus: "port0", device: 0 },
    { bus: "port1", device: 0 },
  ]);
  expect(slots.isEmpty).toBe(true);
  expect(() => slots.take("one")).toThrow(
    expect.objectContaining({ code: "resource-exhausted", hint: expect.stringContaining("pcie_root_port") }),
  );
  const [first] = taken;
  if (first !== undefined) slots.giveBack(first);
  expect(slots.take("again")).toEqual(first);
});

test("HotPlugSlots gives out the ports of a switch last", () => {
  const slots = new HotPlugSlots(false, 1, 2);
  const taken = Array.from({ length: 3 }, (_, index) => slots.take(`disk${index}`));
  expect(taken.map(({ bus }) => bus)).toEqual(["port0", "switchport0", "switchport1"]);
});

test("HotPlugSlots of a machine without bridge and ports are none", () => {
  expect(new HotPlugSlots(false, 0).isEmpty).toBe(true);
});
