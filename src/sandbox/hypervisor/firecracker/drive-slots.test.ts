import { describe, expect, test } from "vitest";
import { driveSlots, SlotUse } from "./drive-slots.ts";

describe("driveSlots()", () => {
  test.each([
    [3, 8, 4],
    [8, 7, 3],
    [12, 4, 2],
    [16, 2, 0],
  ])("leaves %i other devices their room: %i writable, %i read-only", (others, writable, readOnly) => {
    const slots = driveSlots(others, 0);
    expect(slots.filter((slot) => !slot.readOnly)).toHaveLength(writable);
    expect(slots.filter((slot) => slot.readOnly)).toHaveLength(readOnly);
    expect(others + slots.length).toBeLessThanOrEqual(18);
  });

  test("names them behind the drives that come before", () => {
    expect(driveSlots(4, 2)[0]).toEqual({ id: "slot0", node: "/dev/vdc", readOnly: false });
  });

  test("refuses a machine without room for one", () => {
    expect(() => driveSlots(17, 0)).toThrowError(/fewer network links/);
  });
});

describe("SlotUse", () => {
  test("gives a slot of the right kind, and one that was freed again", () => {
    const use = new SlotUse(driveSlots(12, 0));
    expect(use.take("a", false).id).toBe("slot0");
    expect(use.take("b", true).id).toBe("slot4");
    expect(use.take("c", false).id).toBe("slot1");
    use.free("a");
    expect(use.take("d", false).id).toBe("slot0");
    expect(use.of("b", "resize disk").node).toBe("/dev/vde");
  });

  test("refuses a disk twice, one that is not there, and more than there are", () => {
    const use = new SlotUse(driveSlots(16, 0));
    use.take("a", false);
    expect(() => use.take("a", false)).toThrowError(expect.objectContaining({ code: "already-exists" }));
    use.take("b", false);
    expect(() => use.take("c", false)).toThrowError(/all 2 writable drives of the machine are in use/);
    expect(() => use.take("c", true)).toThrowError(expect.objectContaining({ code: "resource-exhausted" }));
    expect(() => use.of("x", "unplug device")).toThrowError(expect.objectContaining({ code: "not-found" }));
  });
});
