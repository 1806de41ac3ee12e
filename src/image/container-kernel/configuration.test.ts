import { describe, expect, it } from "vitest";
import { KERNEL_OPTIONS, kernelFragment, unmetOptions } from "./configuration.ts";

const GROUPS = [{ what: "a few", options: 'BLOCK NR_CPUS=256 !MODULES\n  LOCALVERSION="-kata"' }];
const MET = 'CONFIG_BLOCK=y\nCONFIG_NR_CPUS=256\n# CONFIG_MODULES is not set\nCONFIG_LOCALVERSION="-kata"\n';

describe("kernelFragment", () => {
  it("is what merge_config.sh reads", () => {
    expect(kernelFragment(GROUPS)).toBe(
      '# a few\nCONFIG_BLOCK=y\nCONFIG_NR_CPUS=256\nCONFIG_MODULES=n\nCONFIG_LOCALVERSION="-kata"\n',
    );
  });

  it("names no option twice: the second would win unseen", () => {
    const names = [...kernelFragment().matchAll(/^CONFIG_(\w+)=/gm)].map(([, name]) => name);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    expect(names.length).toBeGreaterThan(300);
  });
});

describe("unmetOptions", () => {
  it("accepts a configuration that has all options as they were asked for", () => {
    expect(unmetOptions(MET, GROUPS)).toEqual([]);
  });

  it.each([
    [
      "an option that a missing dependency has taken away",
      MET.replace("CONFIG_BLOCK=y\n", ""),
      "BLOCK: asked for y, got n",
    ],
    [
      "a module in the place of what is to be built in",
      MET.replace("BLOCK=y", "BLOCK=m"),
      "BLOCK: asked for y, got m",
    ],
    ["another value", MET.replace("256", "64"), "NR_CPUS: asked for 256, got 64"],
    ["an option that something has selected", `${MET}CONFIG_MODULES=y\n`, "MODULES: asked for n, got y"],
  ])("finds %s", (_what, configuration, complaint) => {
    expect(unmetOptions(configuration, GROUPS)).toEqual([complaint]);
  });

  it("asks of the whole list that a guest has no modules and all of virtio", () => {
    const unmet = unmetOptions("", KERNEL_OPTIONS);
    expect(unmet).toContain("VIRTIO_FS: asked for y, got n");
    expect(unmet.some((line) => line.startsWith("MODULES:"))).toBe(false);
  });
});
