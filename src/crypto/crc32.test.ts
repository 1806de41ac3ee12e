import { expect, test } from "vitest";
import { crc32, crc32c } from "./crc32.ts";

/** The check value of both: what is told of the nine digits in their specifications. */
test("the checks of the digits are those of the specifications", () => {
  const digits = new TextEncoder().encode("123456789");
  expect([crc32(digits), crc32c(digits)]).toEqual([0xcbf43926, 0xe3069283]);
  expect([crc32(new Uint8Array(0)), crc32c(new Uint8Array(0))]).toEqual([0, 0]);
});
