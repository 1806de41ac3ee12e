import { describe, expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import { mergeContainerdConfigurations, parseContainerdConfiguration } from "./containerd-configuration.ts";
import type { ContainerdFacts } from "./containerd-facts.ts";
import { evaluateContainerd } from "./evaluate-containerd.ts";

const V2 = `version = 2
disabled_plugins = []
imports = ["/etc/containerd/conf.d/*.toml"]
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
    runtime_type = "io.containerd.kata.v2"
    privileged_without_host_devices = true
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata.options]
      ConfigPath = "/c.toml"
`;
const V3 = V2.replace("version = 2", "version = 3")
  .replaceAll("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime")
  .replace('  snapshotter = "overlayfs"\n', "")
  .concat('[plugins."io.containerd.cri.v1.images"]\nsnapshotter = "overlayfs"\n');

describe("parseContainerdConfiguration()", () => {
  test.each([
    [2, V2],
    [3, V3],
  ])("reads version %i", (version, text) => {
    expect(parseContainerdConfiguration(text, "f")).toEqual({
      version,
      defaultSnapshotter: "overlayfs",
      disabledPlugins: [],
      imports: ["/etc/containerd/conf.d/*.toml"],
      runtimes: [
        {
          name: "runc",
          type: "io.containerd.runc.v2",
          snapshotter: "",
          configPath: "",
          withoutHostDevices: false,
        },
        {
          name: "kata",
          type: "io.containerd.kata.v2",
          snapshotter: "",
          configPath: "/c.toml",
          withoutHostDevices: true,
        },
      ],
    });
  });

  test("tells where a file is no TOML", () => {
    expect(() => parseContainerdConfiguration("version = 2\n[", "f")).toThrowError(
      expect.objectContaining({ code: "invalid-configuration", message: expect.stringContaining("f:2:") }),
    );
  });

  test("takes nothing from fields of other types, and a later file for an earlier one", () => {
    const odd = parseContainerdConfiguration(
      'version = "2"\nimports = 1\nplugins = []\ndisabled_plugins = [1]',
      "f",
    );
    expect(odd).toEqual({
      version: 1,
      defaultSnapshotter: "",
      disabledPlugins: [],
      imports: [],
      runtimes: [],
    });
    const later = parseContainerdConfiguration(V2.replaceAll("/c.toml", "/d.toml"), "g");
    const merged = mergeContainerdConfigurations([parseContainerdConfiguration(V2, "f"), later]);
    expect(merged.runtimes.map(({ name, configPath }) => [name, configPath])).toEqual([
      ["runc", ""],
      ["kata", "/d.toml"],
    ]);
  });
});

function facts(
  text: string,
  changes: Partial<ContainerdFacts> = {},
  missing: string[] = [],
): ContainerdFacts {
  return {
    configurationFile: "/etc/containerd/config.toml",
    configuration: {
      kind: "read",
      value: parseContainerdConfiguration(text, "f"),
      missingConfigPaths: new Set(missing),
    },
    socket: "/run/containerd/containerd.sock",
    hasSocket: true,
    ...changes,
  };
}

const wrong = new KataError("invalid-configuration", {
  operation: "read containerd's configuration",
  object: "f:1:1",
});

/** What is the case, and what is found: name and verdict, what detail and fix say. */
const CASES: readonly (readonly [
  what: string,
  given: ContainerdFacts,
  found: readonly (readonly [string, RegExp, RegExp])[],
])[] = [
  ["nothing wrong", facts(V2), []],
  ["a snapshot", facts(V2, { hasSocket: undefined }), []],
  [
    "no containerd running",
    facts(V2, { hasSocket: false }),
    [["warning containerd's socket", /does not run/, /systemctl start/]],
  ],
  [
    "no file",
    facts(V2, { configuration: { kind: "missing" } }),
    [["warning containerd's file", /missing/, /containerd config default/]],
  ],
  [
    "a wrong file",
    facts(V2, { configuration: { kind: "wrong", error: wrong } }),
    [["failed containerd's file", /f:1:1/, /correct/]],
  ],
  [
    "no runtime of Kata",
    facts(V2.replace("kata.v2", "other.v2")),
    [["warning containerd's file", /no runtime of Kata/, /io\.containerd\.grpc\.v1\.cri/]],
  ],
  [
    "none in version 3",
    facts(V3.replace("kata.v2", "other.v2")),
    [["warning containerd's file", /no runtime of Kata/, /io\.containerd\.cri\.v1\.runtime/]],
  ],
  [
    "cri disabled",
    facts(V2.replace("disabled_plugins = []", 'disabled_plugins = ["cri"]')),
    [["warning containerd's file", /cri is disabled/, /disabled_plugins/]],
  ],
  [
    "a missing configuration of Kata",
    facts(V2, {}, ["/c.toml"]),
    [["failed runtime kata", /^\/c\.toml: missing$/, /ConfigPath/]],
  ],
  [
    "host devices",
    facts(V2.replace("privileged_without_host_devices = true", "")),
    [["warning runtime kata", /privileged/, /^privileged_without_host_devices = true$/]],
  ],
  [
    "Firecracker on overlayfs",
    facts(V2.replace("/c.toml", "/configuration-fc.toml")),
    [["warning runtime kata", /copy of its image/, /devmapper/]],
  ],
  [
    "Firecracker on devmapper",
    facts(V2.replace("/c.toml", "/configuration-fc.toml").replace("overlayfs", "devmapper")),
    [],
  ],
];

describe("evaluateContainerd()", () => {
  test.each(CASES)("of %s", (_what, given, found) => {
    const bad = evaluateContainerd(given, "qemu").filter(({ verdict }) => verdict !== "ok");
    expect(bad.map(({ name, verdict }) => `${verdict} ${name}`)).toEqual(found.map(([name]) => name));
    for (const [index, [, detail, fix]] of found.entries()) {
      expect(bad[index]?.detail).toMatch(detail);
      expect(bad[index]?.fix).toMatch(fix);
    }
  });

  test("asks the configuration that counts for the monitor of a runtime without one of its own", () => {
    const text = V2.replace('      ConfigPath = "/c.toml"\n', "");
    const verdicts = (driver: "qemu" | "firecracker") =>
      evaluateContainerd(facts(text), driver).map(({ name, verdict }) => `${verdict} ${name}`);
    expect(verdicts("qemu")).toEqual(["ok containerd's socket", "ok runtime kata"]);
    expect(verdicts("firecracker")).toEqual(["ok containerd's socket", "warning runtime kata"]);
  });
});
