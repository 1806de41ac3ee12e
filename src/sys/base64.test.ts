import fc from "fast-check";
import { expect, test } from "vitest";
import { base64Url } from "./base64.ts";

test("base64Url() is what Node's is, with padding", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const expected = Buffer.from(text, "utf8").toString("base64").replaceAll("+", "-").replaceAll("/", "_");
      expect(base64Url(text)).toBe(expected);
    }),
  );
});
