import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeBootstrapParams } from "../../build/generated/bootstrap.ts";
import { parseBootstrapInput } from "./bootstrap-input.ts";
import { encodeAny } from "./generated.ts";

test("parseBootstrapInput() takes nothing for no options", () => {
  expect(parseBootstrapInput(new Uint8Array(0), "id", "ns")).toEqual({ kind: "none" });
});

test("parseBootstrapInput() reads the options that containerd up to 2.2 writes", () => {
  const options = { typeUrl: "runtimeoptions.v1.Options", value: Uint8Array.of(18, 1, 47) };
  expect(parseBootstrapInput(encodeAny(options), "id", "ns")).toEqual({ kind: "options", options });
});

test("parseBootstrapInput() reads the parameters that containerd from 2.3 on writes", () => {
  const bytes = encodeBootstrapParams({
    instanceId: "id",
    namespace: "ns",
    containerdVersion: "2.3.0",
    socketDir: "/run/s",
  });
  expect(parseBootstrapInput(bytes, "id", "ns")).toMatchObject({
    kind: "parameters",
    parameters: { instanceId: "id", namespace: "ns", containerdVersion: "2.3.0", socketDir: "/run/s" },
  });
});

test("parseBootstrapInput() takes parameters of another container for no parameters", () => {
  const bytes = encodeBootstrapParams({ instanceId: "other id", namespace: "ns" });
  expect(parseBootstrapInput(bytes, "id", "ns")).toEqual({ kind: "none" });
});

test("parseBootstrapInput() survives any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(["none", "options", "parameters"]).toContain(parseBootstrapInput(bytes, "id", "ns").kind);
    }),
    { numRuns: 2000 },
  );
});
