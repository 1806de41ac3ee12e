import { describe, expect, test } from "vitest";
import { type ContainerRecord, parseContainerRecord } from "./container-record.ts";

const RECORD: ContainerRecord = {
  version: 1,
  id: "web",
  bundle: "/b",
  rootfs: "/b/rootfs",
  created: "2026-01-01T00:00:00.000Z",
  pid: 7,
  startTime: 0,
  sandboxId: "web",
  annotations: { a: "b" },
};

describe("parseContainerRecord()", () => {
  test("reads what was written", () => {
    expect(parseContainerRecord(JSON.stringify(RECORD), "f")).toEqual(RECORD);
  });

  test.each<[string, string]>([
    ["no JSON", "{"],
    ["no object", "7"],
    ["another version", JSON.stringify({ ...RECORD, version: 2 })],
    ["a pid of 0", JSON.stringify({ ...RECORD, pid: 0 })],
    ["a missing bundle", JSON.stringify({ ...RECORD, bundle: undefined })],
    ["annotations that are no texts", JSON.stringify({ ...RECORD, annotations: { a: 1 } })],
  ])("refuses %s", (_, text) => {
    expect(() => parseContainerRecord(text, "f")).toThrowError(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});
