import { describe, expect, test } from "vitest";
import { parseArguments } from "./arguments.ts";
import { settingsFromKernelParameters, splitParameters } from "./kernel-parameters.ts";
import { parseListenAddress } from "./listen-address.ts";
import { DEFAULT_SETTINGS } from "./settings.ts";

describe("settingsFromKernelParameters()", () => {
  test("reads the agent's parameters and leaves the kernel's own alone", () => {
    const line =
      'console=hvc0 quiet agent.log=debug agent.server_addr=vsock://-1:1024 agent.hotplug_timeout=10 dyndbg="file a +p"\n';
    expect(settingsFromKernelParameters(line)).toEqual({
      settings: {
        ...DEFAULT_SETTINGS,
        logLevel: "debug",
        serverAddress: "vsock://-1:1024",
        hotplugTimeoutMs: 10_000,
      },
      warnings: [],
    });
  });

  test.each(["cgroup_no_v1=all", "systemd.unified_cgroup_hierarchy=1", "systemd.unified_cgroup_hierarchy"])(
    "uses cgroup v2 when the command line holds %s",
    (parameter) => {
      expect(settingsFromKernelParameters(parameter).settings.unifiedCgroups).toBe(true);
    },
  );

  test("keeps cgroup v1 when the command line turns v2 off", () => {
    const line = "cgroup_no_v1=memory systemd.unified_cgroup_hierarchy=0";
    expect(settingsFromKernelParameters(line).settings.unifiedCgroups).toBe(false);
  });

  test("reads the memory agent's parameters", () => {
    const line =
      "agent.mem_agent_enable=1 agent.mem_agent_compact_period_secs=30 agent.mem_agent_compact_order=10 agent.mem_agent_compact_force_times=18446744073709551615 agent.mem_agent_compact_order=11 agent.mem_agent_memcg_swap=1";
    const { settings, warnings } = settingsFromKernelParameters(line);
    const { compaction } = DEFAULT_SETTINGS.memoryAgent;
    expect(settings.memoryAgent).toEqual({
      enabled: true,
      compaction: { ...compaction, periodSeconds: 30, order: 10, forceTimes: Number.POSITIVE_INFINITY },
    });
    expect(warnings).toEqual([expect.stringContaining('"11"')]);
  });

  test("warns of unknown parameters and bad values and keeps the defaults", () => {
    const { settings, warnings } = settingsFromKernelParameters(
      "agent.lgo=debug agent.log=loud agent.hotplug_timeout=-1 agent.container_pipe_size=1e9 agent.trace agent.toString=1",
    );
    expect(settings).toEqual(DEFAULT_SETTINGS);
    expect(warnings).toEqual([
      "unknown parameter agent.lgo is ignored",
      expect.stringContaining('"loud"'),
      expect.stringContaining('"-1"'),
      expect.stringContaining('"1e9"'),
      "unknown parameter agent.toString is ignored",
    ]);
  });
});

test("splitParameters() keeps quoted spaces together", () => {
  expect(splitParameters('a=1  b="x y" "c=z w" d\n')).toEqual([
    ["a", "1"],
    ["b", "x y"],
    ["c", "z w"],
    ["d", ""],
  ]);
});

describe("parseArguments()", () => {
  test("lets a flag go before the environment", () => {
    const environment = { KATA_AGENT_SERVER_ADDR: "unix:///a", KATA_AGENT_LOG_LEVEL: "debug" };
    expect(parseArguments(["--server-addr=unix:///b"], environment)).toMatchObject({
      do: "serve",
      parsed: { settings: { serverAddress: "unix:///b", logLevel: "debug" } },
    });
  });

  test.each([["--version"], ["-v"]])("asks for the version when it sees %s", (flag) => {
    expect(parseArguments([flag], {})).toEqual({ do: "version" });
  });

  test.each([[["--sever-addr", "x"]], [["--server-addr"]], [["serve"]]])("refuses %j", (args) => {
    expect(() => parseArguments(args, {})).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });
});

test.each([
  ["agent.debug_console", { debugConsole: true, debugConsolePort: 0 }],
  ["agent.debug_console agent.debug_console_vport=1026", { debugConsole: true, debugConsolePort: 1026 }],
  ["quiet", { debugConsole: false, debugConsolePort: 0 }],
])("the debug console is asked for by %j", (line, expected) => {
  expect(settingsFromKernelParameters(line)).toMatchObject({ settings: expected, warnings: [] });
});

describe("parseListenAddress()", () => {
  test.each([
    ["vsock://-1:1024", { kind: "vsock", cid: 0xffff_ffff, port: 1024 }],
    ["vsock://3:9", { kind: "vsock", cid: 3, port: 9 }],
    ["unix:///run/a.sock", { kind: "unix", path: "/run/a.sock" }],
    ["virtio-serial://org.x.0", { kind: "virtio-serial", name: "org.x.0" }],
  ])("reads %s", (address, expected) => {
    expect(parseListenAddress(address)).toEqual(expected);
  });

  test.each([
    "",
    "vsock://1024",
    "unix://relative",
    "tcp://1:2",
    "vsock://4294967296:1",
    "virtio-serial://a/b",
  ])("refuses %j", (address) => {
    expect(() => parseListenAddress(address)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });
});
