import fc from "fast-check";
import { expect, test } from "vitest";
import { parseDocuments } from "./json-documents.ts";

test("parseDocuments() reads what several commands wrote into one pipe", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.object(), fc.array(fc.jsonValue())), { minLength: 1, maxLength: 5 }),
      fc.constantFrom("", "\n", " \r\n\t"),
      fc.constantFrom(0, 2),
      (values, between, indent) => {
        const texts = values.map((value) => JSON.stringify(value, null, indent));
        const expected = texts.map((text) => JSON.parse(text));
        expect(parseDocuments(texts.join(between), "-")).toEqual(expected);
      },
    ),
  );
});

test.each([
  ["", "read JSON: f (it is empty)"],
  [" \n", "read JSON: f (it is empty)"],
  ["{}\n{]", "read JSON: f:2 ("],
  ['{"a": "}', "read JSON: f:1 ("],
  ["{}{}}", "read JSON: f:1 ("],
  ["ERROR: Please run 'az login'", "read JSON: f:1 ("],
])("parseDocuments(%j) tells what is wrong, and where", (text, message) => {
  expect(() => parseDocuments(text, "f")).toThrowError(
    expect.objectContaining({ code: "invalid-argument", message: expect.stringContaining(message) }),
  );
});

test("parseDocuments() reads no more than a few documents", () => {
  expect(() => parseDocuments("{}".repeat(65), "f")).toThrowError(/at most 64/);
});
