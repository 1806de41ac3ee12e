import { expect, test } from "vitest";
import { accessLetters, EXECUTE, mayAccess, READ, WRITE } from "./user-access.ts";

const USER = { uid: 7, gid: 8, groups: [9] };

/** path_resolution(7): owner, else group, else others; the classes are not added up. */
test.each([
  ["its owner", { uid: 7, gid: 0, mode: 0o100_600 }, READ | WRITE, true],
  ["its owner, who has less than others", { uid: 7, gid: 0, mode: 0o100_066 }, READ, false],
  ["its group", { uid: 0, gid: 8, mode: 0o100_040 }, READ, true],
  ["one of its other groups", { uid: 0, gid: 9, mode: 0o60_660 }, READ | WRITE, true],
  ["its group, which has less than others", { uid: 0, gid: 9, mode: 0o100_604 }, READ, false],
  ["somebody else", { uid: 0, gid: 0, mode: 0o100_644 }, READ, true],
  ["somebody else, who wants to write", { uid: 0, gid: 0, mode: 0o100_644 }, READ | WRITE, false],
  ["somebody else, whom root's file is kept from", { uid: 0, gid: 0, mode: 0o100_600 }, READ, false],
  ["somebody else, who goes through a directory", { uid: 0, gid: 0, mode: 0o40_711 }, EXECUTE, true],
] as const)("mayAccess() of a file by %s", (_who, status, wanted, may) => {
  expect(mayAccess(USER, status, wanted)).toBe(may);
});

test("accessLetters() are chmod's", () => {
  expect([READ, READ | WRITE, EXECUTE].map(accessLetters)).toEqual(["r", "rw", "x"]);
});
