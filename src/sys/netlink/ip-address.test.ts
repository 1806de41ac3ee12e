import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  formatIpAddress,
  formatMacAddress,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
} from "./ip-address.ts";

const refused = expect.objectContaining({ code: "invalid-argument" });

test("parseIpAddress() takes what Node takes, and refuses what Node refuses", () => {
  const text = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.string({ unit: fc.constantFrom("0", "1", "9", "a", "F", ":", "::", ".", "25"), maxLength: 12 }),
  );
  fc.assert(
    fc.property(text, (address) => {
      const family = isIP(address);
      if (family === 0) expect(() => parseIpAddress(address)).toThrow(refused);
      else expect(parseIpAddress(address)).toHaveLength(family === 4 ? 4 : 16);
    }),
    { numRuns: 5000 },
  );
});

test("formatIpAddress() is undone by parseIpAddress()", () => {
  const bytes = (length: number) =>
    fc.array(fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(255)), {
      minLength: length,
      maxLength: length,
    });
  fc.assert(
    fc.property(fc.oneof(bytes(4), bytes(16)), (values) => {
      const address = new Uint8Array(values);
      expect(parseIpAddress(formatIpAddress(address))).toEqual(address);
    }),
  );
});

describe("formatIpAddress()", () => {
  // RFC 5952, section 4.
  test.each([
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["fe80:0:0:0:0:0:0:1", "fe80::1"],
    ["2001:DB8::0001", "2001:db8::1"],
    ["::ffff:10.0.0.1", "::ffff:10.0.0.1"],
    ["10.0.0.1", "10.0.0.1"],
  ])("writes %s as %s", (text, expected) => {
    expect(formatIpAddress(parseIpAddress(text))).toBe(expected);
  });
});

describe("parseIpPrefix()", () => {
  test("reads the length, or takes the whole address", () => {
    expect(parseIpPrefix("10.0.0.0/8")).toEqual({ address: new Uint8Array([10, 0, 0, 0]), length: 8 });
    expect(parseIpPrefix("10.0.0.1").length).toBe(32);
    expect(parseIpPrefix("fd00::/64").length).toBe(64);
  });
  test.each(["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8", "/8", "::/129", "::/1e1", ""])(
    "refuses %j",
    (text) => {
      expect(() => parseIpPrefix(text)).toThrow(refused);
    },
  );
});

describe("parseMacAddress()", () => {
  test("is undone by formatMacAddress()", () => {
    expect(formatMacAddress(parseMacAddress("02:00:fF:00:00:0a"))).toBe("02:00:ff:00:00:0a");
  });
  test.each(["", "02:00:00:00:00", "02:00:00:00:00:01:02", "02-00-00-00-00-01", "2:0:0:0:0:1"])(
    "refuses %j",
    (text) => {
      expect(() => parseMacAddress(text)).toThrow(refused);
    },
  );
});
