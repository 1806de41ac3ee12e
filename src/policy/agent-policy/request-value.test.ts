/** Requests and default policies. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { toJson } from "../rego/json.ts";
import { RegoObject } from "../rego/values.ts";
import { AgentPolicy } from "./agent-policy.ts";
import { DEFAULT_POLICIES, POLICY_REQUESTS } from "./default-policies.ts";
import { copyFileValue, requestValue } from "./request-value.ts";

test("a request has the names of the protocol and no content", () => {
  const request = {
    containerId: "c",
    stdinPort: 1,
    sandboxPidns: false,
    stringUser: undefined,
    OCI: {
      Annotations: new Map([["a", "b"]]),
      Process: { User: { UID: 1, AdditionalGids: [2] }, OOMScoreAdj: 3n },
    },
    devices: [{ id: "d", type: "blk", vmPath: "/v" }],
    interface: { hwAddr: "x", rawFlags: 128, devicePath: "y", mtu: 2n ** 63n },
    data: Uint8Array.of(1),
  };
  expect(toJson(requestValue(request))).toEqual({
    container_id: "c",
    stdin_port: 1,
    sandbox_pidns: false,
    string_user: null,
    OCI: { Annotations: { a: "b" }, Process: { User: { UID: 1, AdditionalGids: [2] }, OOMScoreAdj: 3 } },
    devices: [{ id: "d", type_: "blk", vm_path: "/v" }],
    interface: { hwAddr: "x", raw_flags: 128, devicePath: "y", mtu: 2 ** 63 },
  });
});

test.each([
  [0o100644, "Regular", ""],
  [0o040755, "Directory", ""],
  [0o120777, "Symlink", "target"],
  [0o020600, "Unknown", ""],
])("a copied file of mode %i is %s", (fileMode, type, target) => {
  const fields = {
    path: "/p",
    fileSize: 6n,
    fileMode,
    dirMode: 0o755,
    uid: 1,
    gid: 2,
    offset: 3n,
    data: Buffer.from("target"),
  };
  expect(toJson(copyFileValue(fields, (bytes) => new TextDecoder().decode(bytes)))).toEqual({
    path: "/p",
    file_type: type,
    symlink_target: target,
    file_size: 6,
    file_mode: fileMode,
    dir_mode: 0o755,
    uid: 1,
    gid: 2,
    offset: 3,
  });
});

describe("the default policy", () => {
  const allowed = (name: keyof typeof DEFAULT_POLICIES) => {
    const policy = AgentPolicy.load(DEFAULT_POLICIES[name]);
    return POLICY_REQUESTS.filter((request) => policy.decide(request, new RegoObject()).allowed);
  };

  test("allow-all allows every request of the protocol", () => {
    const proto = readFileSync(join(import.meta.dirname, "../../../proto/agent.proto"), "utf8");
    const requests = [...proto.matchAll(/rpc \w+\((\w+)\)/g)].map(([, request]) => request);
    expect(allowed("allow-all")).toEqual([...new Set(requests)].sort());
  });

  test("allow-all-except-exec-process allows all but that", () => {
    expect(allowed("allow-all-except-exec-process")).toEqual(
      POLICY_REQUESTS.filter((request) => request !== "ExecProcessRequest"),
    );
  });

  test("allow-set-policy allows a sandbox and another policy", () => {
    expect(allowed("allow-set-policy")).toEqual([
      "CreateSandboxRequest",
      "DestroySandboxRequest",
      "GuestDetailsRequest",
      "SetPolicyRequest",
    ]);
  });

  test("deny-all allows nothing", () => {
    expect(allowed("deny-all")).toEqual([]);
  });
});
