import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBase64, encodeBase64 } from "./base64.ts";

test("encodeBase64() is what Node's is, in both alphabets, and decodeBase64() undoes it", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.boolean(), fc.boolean(), (bytes, isUrlSafe, isPadded) => {
      const text = encodeBase64(bytes, isUrlSafe, isPadded);
      const standard = Buffer.from(bytes).toString("base64");
      const padded = isUrlSafe ? standard.replaceAll("+", "-").replaceAll("/", "_") : standard;
      expect(text).toBe(isPadded ? padded : padded.replace(/=+$/, ""));
      expect(decodeBase64(text, isUrlSafe, isPadded ? "required" : "optional")).toEqual(bytes);
    }),
  );
});
