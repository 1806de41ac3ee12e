import { describe, expect, test } from "vitest";
import type { Process } from "../../oci/types.ts";
import { changedProcess } from "./exec-process.ts";

const OWN: Process = {
  args: ["web"],
  terminal: true,
  consoleSize: { height: 1, width: 2 },
  cwd: "/srv",
  env: ["PATH=/bin", "A=1"],
  user: { uid: 5, gid: 6, additionalGids: [7], umask: 0o22 },
  capabilities: { bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"], ambient: [] },
  rlimits: [{ type: "RLIMIT_NOFILE", soft: 1, hard: 2 }],
};

describe("changedProcess()", () => {
  test("is the container's own with another program, without its terminal", () => {
    const { consoleSize: _size, ...rest } = OWN;
    expect(changedProcess(OWN, new Map(), ["ls", "-l"])).toEqual({
      ...rest,
      args: ["ls", "-l"],
      terminal: false,
    });
  });

  test("has what the flags change", () => {
    const flags = new Map<string, string | true | readonly string[]>([
      ["tty", true],
      ["cwd", "/tmp"],
      ["env", ["B=2", "C=3"]],
      ["user", "1:2"],
      ["additional-gids", ["8"]],
      ["cap", ["CAP_NET_RAW"]],
      ["no-new-privs", true],
      ["process-label", "a:b:c"],
      ["apparmor", "p"],
    ]);
    const capabilities = ["CAP_KILL", "CAP_NET_RAW"];
    expect(changedProcess(OWN, flags, ["id"])).toEqual({
      args: ["id"],
      terminal: true,
      cwd: "/tmp",
      env: ["PATH=/bin", "A=1", "B=2", "C=3"],
      user: { uid: 1, gid: 2, additionalGids: [7, 8] },
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities, ambient: [] },
      rlimits: OWN.rlimits,
      noNewPrivileges: true,
      selinuxLabel: "a:b:c",
      apparmorProfile: "p",
    });
  });

  test("of a container without a process is root's", () => {
    expect(changedProcess(undefined, new Map([["user", "9"]]), ["id"])).toEqual({
      args: ["id"],
      terminal: false,
      cwd: "/",
      env: [],
      user: { uid: 9, gid: 0 },
    });
  });

  test.each<[string, Map<string, string>, string[]]>([
    ["no program", new Map(), []],
    ["a user's name", new Map([["user", "root"]]), ["id"]],
    ["a user beyond 32 bits", new Map([["user", "4294967295"]]), ["id"]],
  ])("refuses %s", (_, flags, args) => {
    expect(() => changedProcess(OWN, flags, args)).toThrowError(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});
