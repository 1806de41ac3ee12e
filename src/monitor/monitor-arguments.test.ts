import { describe, expect, test } from "vitest";
import { parseMonitorArguments } from "./monitor-arguments.ts";

const DEFAULTS = {
  host: "127.0.0.1",
  port: 8090,
  runtimeEndpoint: "/run/containerd/containerd.sock",
  logLevel: "info",
};

describe("kata-monitor's command line", () => {
  test.each<[string[], object]>([
    [[], {}],
    [["-listen-address", "0.0.0.0:9"], { host: "0.0.0.0", port: 9 }],
    [["--listen-address=[::1]:80"], { host: "::1", port: 80 }],
    [["-listen-address", ":8090"], { host: "0.0.0.0" }],
    [["-runtime-endpoint", "unix:///run/crio/crio.sock"], { runtimeEndpoint: "/run/crio/crio.sock" }],
    [["-log-level=debug"], { logLevel: "debug" }],
  ])("%j", (words, changes) => {
    expect(parseMonitorArguments(words)).toEqual({ do: "serve", options: { ...DEFAULTS, ...changes } });
  });

  test.each([["version"], ["--version"], ["-version"], ["-v"]])("%s shows the version", (word) => {
    expect(parseMonitorArguments([word])).toEqual({ do: "version" });
  });

  test.each([["-h"], ["--help"]])("%s shows the help", (word) => {
    expect(parseMonitorArguments([word])).toEqual({ do: "help" });
  });

  test.each([
    [["-listen-adress", "x"], "-help shows"],
    [["stray"], "-help shows"],
    [["-log-level"], "needs a value"],
    [["-log-level", "loud"], "a level is one of"],
    [["-listen-address", "8090"], "HOST:PORT"],
    [["-listen-address", "a:99999"], "HOST:PORT"],
  ])("%j is refused", (words, why) => {
    expect(() => parseMonitorArguments(words)).toThrow(why);
  });
});
