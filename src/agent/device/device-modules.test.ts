import { expect, test } from "vitest";
import type { Spec } from "../../oci/types.ts";
import { deviceModules } from "./device-modules.ts";

test.each<[spec: Partial<Spec>, modules: string[]]>([
  [{}, []],
  [{ linux: { devices: [{ type: "c", path: "/dev/null", major: 1, minor: 3 }] } }, []],
  [{ linux: { devices: [{ type: "c", path: "/dev/tunnel", major: 10, minor: 200 }] } }, ["tun"]],
  [{ linux: { devices: [{ type: "b", path: "/dev/x", major: 10, minor: 200 }] } }, []],
  [{ mounts: [{ destination: "/dev/fuse", source: "/dev/fuse", options: ["bind"] }] }, ["fuse"]],
])("the devices of %j need the modules %j", (spec, modules) => {
  expect(deviceModules({ ociVersion: "1.1.0", ...spec })).toEqual(modules);
});
