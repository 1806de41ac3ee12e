import { expect, test } from "vitest";
import type { Spec } from "../../oci/types.ts";
import { chooseNetwork } from "./network-choice.ts";

function spec(...namespaces: NonNullable<NonNullable<Spec["linux"]>["namespaces"]>): Spec {
  return { ociVersion: "1.1.0", linux: { namespaces } };
}

const options = {
  disableNewNamespace: false,
  description: undefined,
  isHostNamespace: (path: string) => path === "/proc/1/ns/net",
};

test("chooseNetwork() takes the namespace of the specification", () => {
  expect(chooseNetwork(spec({ type: "network", path: "/run/netns/a" }), options)).toEqual({
    kind: "namespace",
    path: "/run/netns/a",
  });
});

test("chooseNetwork() gives a pod that brings none a namespace of its own", () => {
  expect(chooseNetwork(spec({ type: "network" }), options)).toEqual({ kind: "new" });
});

test("chooseNetwork() takes the devices that a file describes, whatever else is asked for", () => {
  expect(
    chooseNetwork(spec({ type: "network", path: "/run/netns/a" }), {
      ...options,
      description: "/dans/a.json",
    }),
  ).toEqual({ kind: "described", file: "/dans/a.json" });
});

test("chooseNetwork() gives a pod nothing but loopback if there are to be no namespaces", () => {
  expect(chooseNetwork(spec(), { ...options, disableNewNamespace: true })).toEqual({ kind: "loopback" });
});

test("chooseNetwork() leaves the network of a machine on another host as it is", () => {
  const elsewhere = { ...options, isElsewhere: true, disableNewNamespace: true };
  const named = spec({ type: "network", path: "/run/netns/a" });
  expect(chooseNetwork(named, elsewhere)).toEqual({ kind: "left", path: "/run/netns/a" });
  expect(chooseNetwork(spec({ type: "network" }), elsewhere)).toEqual({ kind: "left", path: undefined });
  const host = spec({ type: "network", path: "/proc/1/ns/net" });
  for (const refused of [spec(), host]) {
    expect(() => chooseNetwork(refused, elsewhere)).toThrow(expect.objectContaining({ code: "unsupported" }));
  }
});

test.each([
  ["by no namespace", spec({ type: "pid" })],
  ["by its path", spec({ type: "network", path: "/proc/1/ns/net" })],
])("chooseNetwork() refuses the host's network that is asked for %s", (_how, wanted) => {
  expect(() => chooseNetwork(wanted, options)).toThrow(expect.objectContaining({ code: "unsupported" }));
});
