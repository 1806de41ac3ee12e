import { expect, test } from "vitest";
import { requireResizing } from "./resizing-disks.ts";

test.each([
  ["v38.0", false, false],
  ["v49.1", false, false],
  ["v50.0", false, true],
  ["v51.1", false, true],
  ["v51.1", true, false],
  ["v52.0-12-gabcdef", true, true],
  ["52.0", true, true],
  ["a build of our own", true, true],
])("requireResizing() of %s, block device %s: %s", (version, isBlockDevice, does) => {
  const ask = () => requireResizing(version, isBlockDevice);
  if (does) expect(ask).not.toThrow();
  else expect(ask).toThrow(expect.objectContaining({ code: "unsupported" }));
});
