/** The command line. */
import { describe, expect, test } from "vitest";
import { generateArguments, parseOptions } from "./arguments.ts";

const read = (line: string, isAzure = false) =>
  generateArguments(parseOptions(line.split(" ").filter(Boolean), isAzure), isAzure);

const NOTHING = read("");

describe("genpolicy's options", () => {
  test.each([
    ["-y a.yaml", { yamlFile: "a.yaml" }],
    ["-ya.yaml", { yamlFile: "a.yaml" }],
    ["-y=a.yaml", { yamlFile: "a.yaml" }],
    ["--yaml-file=a.yaml", { yamlFile: "a.yaml" }],
    ["-c a --config-file b", { configFiles: ["a", "b"] }],
    ["-rbs", { rawOut: true, base64Out: true, lenient: true }],
    ["-rd", { rawOut: true, containerdSocket: "/var/run/containerd/containerd.sock" }],
    ["-d=/x", { containerdSocket: "/x" }],
    [
      "--containerd-socket-path -r",
      { rawOut: true, containerdSocket: "/var/run/containerd/containerd.sock" },
    ],
    ["-u", { layersCache: "./layers-cache.json" }],
    ["--layers-cache-file-path=/x", { layersCache: "/x" }],
    ["-p r -j s", { rulesPath: "r", settingsPath: "s" }],
    ["--insecure-registry a --insecure-registry b", { insecureRegistries: ["a", "b"] }],
    ["--registry-mirror a=b", { mirrors: ["a=b"] }],
    [
      "--runtime-class-names kata --oci-layout l --initdata-path=i",
      { runtimeClasses: ["kata"], ociLayouts: ["l"], initdataPath: "i" },
    ],
    ["--policy-annotation", { annotation: "policy" }],
  ])("%s are read", (line, expected) => {
    expect(read(line)).toEqual({ ...NOTHING, ...expected });
  });

  test.each([
    ["--yaml a --config-map-file b c --outraw", { yamlFile: "a", configFiles: ["b", "c"], rawOut: true }],
    [
      "-y a --print-policy --settings-file-name s --rules-file-name r -u",
      {
        yamlFile: "a",
        base64Out: true,
        settingsPath: "s",
        rulesPath: "r",
        layersCache: "./layers-cache.json",
      },
    ],
    ["--containerd-pull --containerd-socket-path /x", { containerdSocket: "/x" }],
    ["-d", { containerdSocket: "/var/run/containerd/containerd.sock" }],
  ])("of az confcom, %s, are read", (line, expected) => {
    expect(read(line, true)).toEqual({ ...NOTHING, annotation: "policy", ...expected });
  });

  test.each([
    ["--nothing", "genpolicy --help lists the options"],
    ["--raw-ou", "did you mean --raw-out?"],
    ["-x", "genpolicy --help lists the options"],
    ["--raw-out=1", "this option takes no value"],
    ["-y", "a value follows this option"],
    ["a", "an option was expected"],
    ["--registry-mirror a", "it is REGISTRY=MIRROR"],
  ])("%s are refused", (line, hint) => {
    expect(() => read(line)).toThrow(expect.objectContaining({ code: "invalid-argument", hint }));
  });
});
