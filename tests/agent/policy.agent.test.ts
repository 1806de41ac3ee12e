/** The agent behind a policy: every call is decided before it does anything. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { agentServiceClient } from "../../build/generated/agent.ts";
import { REQUEST_KINDS } from "../../src/agent/policy/request-kinds.ts";
import { DEFAULT_POLICIES, POLICY_REQUESTS } from "../../src/policy/agent-policy/default-policies.ts";
import { startAgent, type TestAgent } from "./harness/agent.ts";
import { busyboxRootfs, type Rootfs } from "./harness/busybox-rootfs.ts";
import { containerSpec } from "./harness/container-spec.ts";

let rootfs: Rootfs;
let agent: TestAgent;

beforeAll(() => {
  rootfs = busyboxRootfs();
});
afterAll(() => rootfs[Symbol.dispose]());
beforeEach(async () => {
  agent = await startAgent();
});
afterEach(() => agent[Symbol.asyncDispose]());

/** A policy that allows all but what `rules` say. */
function allBut(kinds: readonly string[], rules: string): string {
  const defaults = POLICY_REQUESTS.map((kind) => `default ${kind} := ${!kinds.includes(kind)}`);
  return `package agent_policy\n${defaults.join("\n")}\n${rules}\n`;
}

const refused = (code: string, message: string | RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

test("every call of the protocol is refused by its own name when the policy refuses all", async () => {
  await agent.calls.setPolicy({ policy: DEFAULT_POLICIES["deny-all"] });
  const methods = Object.keys(agentServiceClient({ call: async () => new Uint8Array(0) }));
  expect(methods.sort()).toEqual(Object.keys(REQUEST_KINDS).sort());
  for (const [method, kind] of Object.entries(REQUEST_KINDS)) {
    const name = method.charAt(0).toUpperCase() + method.slice(1);
    await expect(agent.callRaw(name, new Uint8Array(0)), method).rejects.toEqual(
      refused("permission-denied", `${kind} is blocked by policy`),
    );
  }
  expect(await agent.check()).toBe("SERVING");
});

test("a request that is refused has done nothing, and the reasons are told", async () => {
  const before = agent.state();
  const rule = 'CreateContainerRequest { print("args are", input.OCI.Process.Args); false }';
  await agent.calls.setPolicy({ policy: allBut(["CreateContainerRequest"], rule) });
  await expect(agent.create(containerSpec(rootfs.path, ["true"]), "c")).rejects.toEqual(
    refused("permission-denied", 'CreateContainerRequest is blocked by policy: args are \\["true"\\]$'),
  );
  expect(agent.state()).toEqual(before);
});

test("output comes by calls that the policy decides about, never with the end of a process", async () => {
  await agent.calls.setPolicy({ policy: allBut(["ReadStreamRequest"], "") });
  await using container = await agent.create(containerSpec(rootfs.path, ["echo", "secret"]), "c");
  await container.start();
  expect(await agent.calls.waitProcess({ containerId: "c", outputBytes: 100 })).toEqual({ status: 0 });
  await expect(container.read("stdout")).rejects.toEqual(
    refused("permission-denied", "ReadStreamRequest is blocked by policy"),
  );
});

describe("a policy sees", () => {
  test("a container's request with the protocol's names, and null for what is not there", async () => {
    const rule = `CreateContainerRequest {
      input.container_id == "c"
      input.OCI.Process.Args == ["sh", "-c", "exit 7"]
      input.OCI.Process.User.UID == 0
      input.OCI.Process.Capabilities.Bounding[0] == "CAP_CHOWN"
      input.OCI.Mounts[0].type_ == "proc"
      input.OCI.Root.Path == "${rootfs.path}"
      is_null(input.string_user)
      is_null(input.OCI.Hooks)
      is_null(input.OCI.Linux.Seccomp)
      input.storages == []
      input.sandbox_pidns == false
    }`;
    await agent.calls.setPolicy({ policy: allBut(["CreateContainerRequest"], rule) });
    await using container = await agent.create(containerSpec(rootfs.path, ["sh", "-c", "exit 7"]), "c");
    await container.start();
    expect((await container.result()).status).toBe(7);
  });

  test("a copied file without its content, by its kind", async () => {
    const rule = `CopyFileRequest { input.file_type == "Symlink"; input.symlink_target == "data"; not input.data }`;
    await agent.calls.setPolicy({ policy: allBut(["CopyFileRequest"], rule) });
    const path = "/run/kata-containers/shared/containers/policy-link";
    const link = { path, fileMode: 0o120777, dirMode: 0o755, fileSize: 4n, data: Buffer.from("data") };
    await agent.calls.copyFile(link);
    await expect(agent.calls.copyFile({ ...link, data: Buffer.from("/etc") })).rejects.toEqual(
      refused("permission-denied", "CopyFileRequest is blocked by policy"),
    );
    await expect(agent.calls.copyFile({ ...link, fileMode: 0o100644 })).rejects.toEqual(
      refused("permission-denied", "CopyFileRequest is blocked by policy"),
    );
  });
});

test("a policy remembers what it allowed, and another policy begins anew", async () => {
  const once = `CreateContainerRequest := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/made", "value": input.container_id}]} {
    not data.pstate.made
  }`;
  const policy = allBut(["CreateContainerRequest"], once);
  await agent.calls.setPolicy({ policy });
  await using first = await agent.create(containerSpec(rootfs.path, ["true"]), "first");
  await expect(agent.create(containerSpec(rootfs.path, ["true"]), "second")).rejects.toEqual(
    refused("permission-denied", "CreateContainerRequest is blocked"),
  );
  await agent.calls.setPolicy({ policy });
  await using third = await agent.create(containerSpec(rootfs.path, ["true"]), "third");
  expect([first.id, third.id]).toEqual(["first", "third"]);
});

test("AllowRequestsFailingPolicy lets refused requests pass", async () => {
  const policy = `package agent_policy\nAllowRequestsFailingPolicy := true\n`;
  await agent.calls.setPolicy({ policy });
  expect(await agent.metrics()).toContain("kata_agent");
});

test("a request that the policy cannot decide on fails as an internal error", async () => {
  await agent.calls.setPolicy({
    policy: allBut([], "").replace("default GetMetricsRequest := true", "GetMetricsRequest := 1"),
  });
  await expect(agent.metrics()).rejects.toEqual(refused("internal", "GetMetricsRequest: internal error"));
});

test("a policy that is none is refused with its line, and the one before stays in force", async () => {
  await agent.calls.setPolicy({ policy: allBut(["GetMetricsRequest"], "") });
  await expect(agent.calls.setPolicy({ policy: "package agent_policy\n\nx := " })).rejects.toEqual(
    refused("invalid-argument", "policy\\.rego:3"),
  );
  await expect(agent.metrics()).rejects.toEqual(refused("permission-denied", "GetMetricsRequest"));
});

test("KATA_AGENT_POLICY_FILE is in force before the first call", async () => {
  const directory = mkdtempSync(join(tmpdir(), "kata-agent-policy-"));
  try {
    const file = join(directory, "policy.rego");
    writeFileSync(file, DEFAULT_POLICIES["allow-set-policy"]);
    await using guarded = await startAgent({ KATA_AGENT_POLICY_FILE: file });
    await expect(guarded.metrics()).rejects.toEqual(refused("permission-denied", "GetMetricsRequest"));
    await guarded.calls.setPolicy({ policy: DEFAULT_POLICIES["allow-all"] });
    expect(await guarded.metrics()).toContain("kata_agent");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("without a policy the engine is not in memory, and the details tell that it is there", async () => {
  const before = agent.residentBytes();
  await agent.calls.setPolicy({ policy: DEFAULT_POLICIES["allow-all"] });
  // Its code alone is some 600 KiB.
  expect(agent.residentBytes() - before).toBeGreaterThan(400 * 1024);
  expect((await agent.guestDetails()).extraFeatures).toContain("agent-policy");
});
