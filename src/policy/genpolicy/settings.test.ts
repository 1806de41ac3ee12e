/** Settings: defaults, patches, faults. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readSettings } from "./settings.ts";
import { SETTINGS } from "./testing/policy-maker.ts";

const read = (...patches: readonly unknown[]) =>
  readSettings({
    name: "s.json",
    text: SETTINGS,
    patches: patches.map((patch, i) => ({ name: `${i}.json`, text: JSON.stringify(patch) })),
  });

const DROP_INS = join(import.meta.dirname, "../rules/drop-ins");

function pathExists(path: string): boolean {
  let place: unknown = JSON.parse(SETTINGS);
  for (const key of path.split("/").slice(1)) place = (place as Record<string, unknown> | undefined)?.[key];
  return place !== undefined;
}

describe("settings", () => {
  test("built in are for confidential guests that pull images", () => {
    const { guestPull, emptyDir, pauseImage, layerFormat, configMapStorages, ociVersion } = read();
    expect({ guestPull, emptyDir, pauseImage, layerFormat, configMapStorages, ociVersion }).toEqual({
      guestPull: true,
      emptyDir: "block-encrypted",
      pauseImage: "mcr.microsoft.com/oss/kubernetes/pause:3.6",
      layerFormat: undefined,
      configMapStorages: false,
      ociVersion: "1.1.0",
    });
  });

  test("give the policy what rules read and not what only the generator does", () => {
    const { common, devices } = read().policyParts;
    expect(Object.keys(common ?? {})).not.toContain("image_layer_verification");
    expect(devices).toEqual({ vfio: { device_path: "/dev/vfio/devices/vfio", nvidia: {} } });
  });

  test("are patched by one file after the other", () => {
    const settings = read(
      [{ op: "replace", path: "/kata_config/oci_version", value: "1.2.0" }],
      [
        { op: "test", path: "/kata_config/oci_version", value: "1.2.0" },
        { op: "add", path: "/mount_destinations/-", value: "/x" },
        { op: "copy", from: "/cluster_config/pause_container_image", path: "/kata_config/oci_version" },
        { op: "remove", path: "/other_container/Mounts/0" },
      ],
    );
    expect(settings.mountDestinations.at(-1)).toBe("/x");
    expect(settings.ociVersion).toBe(settings.pauseImage);
    expect(settings.other.mounts[0]?.destination).toBe("/dev/termination-log");
  });

  test.each(readdirSync(DROP_INS))("take the drop-in %s", (name) => {
    const patch: readonly { readonly path: string }[] = JSON.parse(
      readFileSync(join(DROP_INS, name), "utf8"),
    );
    expect(read(patch)).not.toEqual(read());
    // It changes what is there and adds no keys that nothing reads.
    for (const { path } of patch) expect([name, path, pathExists(path)]).toEqual([name, path, true]);
  });

  test.each<[string, unknown, string]>([
    [
      "a test that fails",
      [{ op: "test", path: "/kata_config/oci_version", value: "x" }],
      "0.json: operation 1",
    ],
    ["an unknown operation", [{ op: "merge", path: "/x" }], "0.json: operation 1"],
    ["no list", { op: "remove" }, "0.json"],
    [
      "a value of another type",
      [{ op: "replace", path: "/cluster_config/guest_pull", value: "yes" }],
      "s.json: cluster_config.guest_pull",
    ],
    [
      "a value that is not known",
      [{ op: "replace", path: "/cluster_config/emptydir_type", value: "x" }],
      "s.json: cluster_config.emptydir_type",
    ],
    ["a part taken away", [{ op: "remove", path: "/common" }], "s.json: common"],
  ])("with %s are refused", (_what, patch, object) => {
    expect(() => read(patch)).toThrow(expect.objectContaining({ code: "invalid-settings", object }));
  });

  test("that are no JSON are refused", () => {
    expect(() => readSettings({ name: "x", text: "{", patches: [] })).toThrow(
      expect.objectContaining({ code: "invalid-settings", object: "x" }),
    );
  });
});
