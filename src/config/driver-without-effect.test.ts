import { describe, expect, test } from "vitest";
import { DRIVER_WITHOUT_EFFECT } from "./driver-without-effect.ts";
import { EFFECTIVE_KEYS } from "./effective-keys.ts";
import { HYPERVISOR_KEYS } from "./hypervisor-keys.ts";
import { DRIVERS, type DriverName, isUsedBy, type Key } from "./key.ts";

const KEYS: Readonly<Record<string, Key>> = HYPERVISOR_KEYS;

describe.each(Object.entries(DRIVER_WITHOUT_EFFECT) as [DriverName, Readonly<Record<string, string>>][])(
  "what changes nothing for %s",
  (driver, reasons) => {
    test("are keys of its table, each with a reason", () => {
      for (const [name, reason] of Object.entries(reasons)) {
        const key = KEYS[name];
        expect(key !== undefined && isUsedBy(key, driver), name).toBe(true);
        expect(reason).toMatch(/^[a-z].{10,}[^.]$/);
      }
    });

    test("or has an effect, as far as the table says that this driver uses it and not just any", () => {
      const letter = Object.entries(DRIVERS).find(([, name]) => name === driver)?.[0] ?? "";
      const own = Object.entries(KEYS).filter(([, { drivers }]) => drivers?.includes(letter));
      expect(own.length).toBeGreaterThan(0);
      const unexplained = own
        .map(([name]) => name)
        .filter(
          (name) =>
            !EFFECTIVE_KEYS.hypervisor.has(name) &&
            reasons[name] === undefined &&
            KEYS[name]?.withoutEffect === undefined,
        );
      expect(unexplained).toEqual([]);
    });
  },
);
