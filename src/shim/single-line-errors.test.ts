import { expect, test } from "vitest";
import { KataError } from "../kata-error.ts";
import type { CallContext, Service } from "../rpc/types.ts";
import { singleLine, withSingleLineErrors } from "./single-line-errors.ts";

test("singleLine() leaves an error of one line as it is", () => {
  const error = new KataError("not-found", { operation: "find", object: "x" });
  expect(singleLine(error)).toBe(error);
  expect(singleLine("no error")).toBe("no error");
});

test("singleLine() keeps code, errno and hint of an error whose parts have several lines", () => {
  const error = new KataError("boot-failed", {
    operation: "boot guest",
    object: "QEMU: first\r\n  second\n\n",
    errno: "ENOENT",
    hint: "look\nhere",
  });
  expect(singleLine(error)).toMatchObject({
    code: "boot-failed",
    errno: "ENOENT",
    hint: "look | here",
    message: "boot guest: QEMU: first | second: ENOENT (look | here)",
    cause: error,
  });
});

test("singleLine() takes other errors too", () => {
  expect(singleLine(new TypeError("a\nb"))).toMatchObject({ message: "a | b" });
});

test("withSingleLineErrors() changes errors and nothing else", async () => {
  const handle = async (payload: Uint8Array) => {
    if (payload.length === 0) throw new Error("one\ntwo");
    return payload;
  };
  const service: Service = { name: "s", methods: new Map([["M", { kind: "unary", handle }]]) };
  const method = withSingleLineErrors(service).methods.get("M");
  const context: CallContext = {
    signal: new AbortController().signal,
    metadata: new Map(),
  };
  if (method?.kind !== "unary") throw new Error("the method has gone");
  expect(await method.handle(Uint8Array.of(1), context)).toEqual(Uint8Array.of(1));
  await expect(method.handle(new Uint8Array(0), context)).rejects.toThrow("one | two");
});
