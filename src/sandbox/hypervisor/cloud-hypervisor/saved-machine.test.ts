import { expect, test } from "vitest";
import { withVsock } from "./saved-machine.ts";

test("a saved machine goes on with a vsock of its own, and all else as it was", () => {
  const config = {
    cpus: { boot_vcpus: 1 },
    vsock: { cid: 3, socket: "/run/template/clh.sock", iommu: false },
  };
  expect(withVsock(config, "/run/pod/clh.sock")).toEqual({
    cpus: { boot_vcpus: 1 },
    vsock: { cid: 3, socket: "/run/pod/clh.sock", iommu: false },
  });
});

test.each([{}, { vsock: null }, { vsock: [] }, { vsock: "x" }])(
  "a saved machine of %j is refused",
  (config) => {
    expect(() => withVsock(config, "/s")).toThrow(expect.objectContaining({ code: "malformed-message" }));
  },
);
