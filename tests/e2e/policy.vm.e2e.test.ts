/** Policies on their way into the guest: by annotation and by initdata, in force before the host's first wish. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { DEFAULT_POLICIES, POLICY_REQUESTS } from "../../src/policy/agent-policy/default-policies.ts";
import { encodeInitdata } from "../../src/policy/genpolicy/initdata.ts";
import { runCommand } from "../harness/command.ts";
import { BUILT_PROGRAMS, writeKataConfiguration } from "../harness/kata-configuration.ts";
import { test } from "../harness/workbench.ts";

const POLICY = "io.katacontainers.config.agent.policy";
const INITDATA = "io.katacontainers.config.hypervisor.cc_init_data";
const KATA_RUNTIME_PROGRAM = join(BUILT_PROGRAMS, "kata-runtime");
const base64 = (text: string) => Buffer.from(text).toString("base64");

/** Allows all but `kinds`. */
function allBut(...kinds: string[]): string {
  const rules = POLICY_REQUESTS.map((kind) => `default ${kind} := ${!kinds.includes(kind)}`);
  return `package agent_policy\n${rules.join("\n")}\n`;
}

describe("a pod's policy", () => {
  test("by annotation refuses exec by its name, and the pod goes on", async ({ bench }) => {
    const policy = base64(DEFAULT_POLICIES["allow-all-except-exec-process"]);
    const id = await bench.detach("while :; do sleep 1; done", ["--annotation", `${POLICY}=${policy}`]);
    const refused = await bench.exec(id, "echo in");
    expect(refused.stdout).toBe("");
    expect(refused.stderr).toMatch(/ExecProcessRequest is blocked by policy/);
    expect(await bench.ctr.taskState(id)).toMatchObject({ state: "RUNNING" });
    await bench.ctr.must(["tasks", "pause", id]);
    await bench.ctr.must(["tasks", "resume", id]);

    // Another policy by the administrator, as this one lets it; the next one cannot be replaced.
    const set = (policy: string) => {
      const file = join(bench.scratch, "policy.rego");
      writeFileSync(file, policy);
      return runCommand(KATA_RUNTIME_PROGRAM, ["policy", "set", file, "--sandbox-id", id]);
    };
    expect(await set(allBut("SetPolicyRequest"))).toMatchObject({ status: 0, stderr: "" });
    expect(await bench.exec(id, "echo in")).toMatchObject({ status: 0, stdout: "in\n" });
    const last = await set(DEFAULT_POLICIES["allow-all"]);
    expect(last.status).toBe(1);
    expect(last.stderr).toMatch(/SetPolicyRequest is blocked by policy/);
  });

  test("that is none is told in one line before anything runs", async ({ bench }) => {
    const run = (value: string) => bench.run("echo started", ["--annotation", `${POLICY}=${value}`]);
    for (const [value, why] of [
      ["?", /policy.*base64/],
      [base64("package agent_policy\nx := "), /policy\.rego:2/],
    ] as const) {
      const { status, stdout, stderr } = await run(value);
      expect({ failed: status !== 0, stdout, lines: stderr.trimEnd().split("\n").length }).toEqual({
        failed: true,
        stdout: "",
        lines: 1,
      });
      expect(stderr).toMatch(why);
    }
  });

  test("in initdata is in force before the host can set another", async ({ bench }) => {
    const initdata = encodeInitdata({
      version: "0.1.0",
      algorithm: "sha384",
      data: { "policy.rego": allBut("SetPolicyRequest", "ExecProcessRequest"), "cdh.toml": "x = 1\n" },
    });
    const configuration = writeKataConfiguration(bench.scratch, "initdata", {
      "hypervisor.qemu": { enable_annotations: ["cc_init_data"] },
    });
    const flags = ["--runtime-config-path", configuration, "--annotation", `${INITDATA}=${initdata}`];
    const allowAll = ["--annotation", `${POLICY}=${base64(DEFAULT_POLICIES["allow-all"])}`];
    const refused = await bench.run("echo started", [...flags, ...allowAll]);
    expect(refused.stdout).toBe("");
    expect(refused.stderr).toMatch(/SetPolicyRequest is blocked by policy/);
    const id = await bench.detach("while :; do sleep 1; done", flags);
    expect((await bench.exec(id, "true")).stderr).toMatch(/ExecProcessRequest is blocked by policy/);
  });

  test("in initdata needs the operator's leave, and is checked on the host already", async ({ bench }) => {
    const run = (flags: readonly string[]) => bench.run("echo started", flags);
    expect((await run(["--annotation", `${INITDATA}=H4sI`])).stderr).toMatch(
      /cc_init_data.*enable_annotations/,
    );
    const configuration = writeKataConfiguration(bench.scratch, "broken", {
      "hypervisor.qemu": { enable_annotations: ["cc_init_data"] },
    });
    const broken = ["--runtime-config-path", configuration, "--annotation", `${INITDATA}=H4sI`];
    expect((await run(broken)).stderr).toMatch(/initdata.*gzip/);
  });
});
