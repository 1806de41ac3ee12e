import { expect, test } from "vitest";
import { HotPlugSlots } from "./hot-plug-slots.ts";

test("HotPlugSlots gives out the bridge's slots, then the ports, and says what to do when all are taken", () => {
  const slots = new HotPlugSlots(true, 2);
  const taken = Array.from({ length: 32 }, (_, index) => slots.take(`disk${index}`));
  expect(taken.slice(0, 2)).toEqual([
    { bus: "bridge0", device: 2, port: "bridge-port" },
    { bus: "bridge0", device: 3, port: "bridge-port" },
  ]);
  expect(taken.slice(29)).toEqual([
    { bus: "bridge0", device: 31, port: "bridge-port" },
    { bus: "port0", device: 0, port: "root-port" },
    { bus: "port1", device: 0, port: "root-port" },
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

test("HotPlugSlots gives out a port of the kind that is asked for, and says which key makes more of them", () => {
  const slots = new HotPlugSlots(true, 1, 1);
  expect(slots.take("card0", "switch-port").bus).toBe("switchport0");
  expect(slots.take("card1", "root-port").bus).toBe("port0");
  expect(slots.take("card2", "bridge-port")).toEqual({ bus: "bridge0", device: 2, port: "bridge-port" });
  for (const [port, key] of [
    ["root-port", "pcie_root_port"],
    ["switch-port", "pcie_switch_port"],
  ] as const) {
    expect(() => slots.take("card3", port)).toThrow(
      expect.objectContaining({ code: "resource-exhausted", hint: expect.stringContaining(key) }),
    );
  }
  expect(slots.take("disk0").bus).toBe("bridge0");
});
