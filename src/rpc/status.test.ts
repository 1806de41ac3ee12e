import { expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import { errorOf, statusOf } from "./status.ts";

/** The numbers of gRPC. */
const CODES: [code: string, number: number][] = [
  ["cancelled", 1],
  ["unknown", 2],
  ["invalid-argument", 3],
  ["deadline-exceeded", 4],
  ["not-found", 5],
  ["already-exists", 6],
  ["permission-denied", 7],
  ["resource-exhausted", 8],
  ["failed-precondition", 9],
  ["aborted", 10],
  ["out-of-range", 11],
  ["unimplemented", 12],
  ["internal", 13],
  ["unavailable", 14],
  ["data-loss", 15],
  ["unauthenticated", 16],
];

test.each(CODES)("an error with code %s is status %i, and back", (code, number) => {
  const status = statusOf(new KataError(code, { operation: "do", object: "it" }));
  expect(status).toEqual({ code: number, message: "do: it" });
  expect(errorOf(status, "call a/b")).toMatchObject({ code, operation: "call a/b", object: "do: it" });
});

test.each([
  ["ENOENT", 5],
  ["EEXIST", 6],
  ["EACCES", 7],
  ["EPERM", 7],
  ["EINVAL", 3],
  ["ENOSPC", 2],
])("a system call that failed with %s is status %i", (errno, code) => {
  const error = new KataError("system-call", { operation: "open", object: "/x", errno });
  expect(statusOf(error)).toEqual({ code, message: `open: /x: ${errno}` });
});

test.each([
  ["a code of our own", new KataError("end-of-stream", { operation: "read", object: "EOF" }), 2, "read: EOF"],
  ["the code of success", new KataError("ok", { operation: "do", object: "it" }), 2, "do: it"],
  [
    "a request that is no message",
    new KataError("malformed-message", { operation: "decode", object: "it" }),
    13,
    "decode: it",
  ],
  ["an error of the engine", new RangeError("too long"), 2, "too long"],
  ["no error at all", 42, 2, "42"],
])("%s has a status", (_what, error, code, message) => {
  expect(statusOf(error)).toEqual({ code, message });
});
