/** Hooks of the runtime specification: when they run, what they are told, what their failure means. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Hook, Spec } from "../../src/oci/types.ts";
import { startAgent, type TestAgent } from "./harness/agent.ts";
import { busyboxRootfs, type Rootfs } from "./harness/busybox-rootfs.ts";
import { containerSpec, withMounts, withProcess } from "./harness/container-spec.ts";

let rootfs: Rootfs;
let agent: TestAgent;
let host: string;

beforeAll(async () => {
  rootfs = busyboxRootfs();
  agent = await startAgent();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  rootfs[Symbol.dispose]();
});
beforeEach(() => {
  host = mkdtempSync(join(tmpdir(), "kata-agent-oci-"));
  chmodSync(host, 0o755);
});
afterEach(() => rmSync(host, { recursive: true, force: true }));

const sh = (script: string) => containerSpec(rootfs.path, ["sh", "-c", script]);

describe("hooks", () => {
  const log = () => join(host, "log");
  const lines = () => (existsSync(log()) ? readFileSync(log(), "utf8").trim().split("\n") : []);
  /** Writes its name and the state that it was given. */
  const hook = (name: string, more: Partial<Hook> = {}): Hook => ({
    path: "/bin/sh",
    args: ["sh", "-c", `echo ${name} $(cat) >> "$LOG"`],
    env: ["PATH=/bin:/usr/bin", `LOG=${log()}`],
    ...more,
  });
  const failing = (script: string, more: Partial<Hook> = {}): Hook => ({
    path: "/bin/sh",
    args: ["sh", "-c", script],
    env: ["PATH=/bin:/usr/bin"],
    ...more,
  });

  test("hooks run in the specification's order with the container's state on stdin", async () => {
    const spec = withMounts(
      {
        ...sh("echo program >> /data/log; exec sleep 1000"),
        annotations: { key: "value" },
        hooks: {
          prestart: [hook("prestart"), hook("prestart-2")],
          createRuntime: [hook("createRuntime")],
          createContainer: [hook("createContainer")],
          startContainer: [hook("startContainer", { env: ["PATH=/bin", "LOG=/data/log"] })],
          poststart: [hook("poststart")],
          poststop: [hook("poststop")],
        },
      },
      { destination: "/data", source: host, options: ["bind"] },
    );
    const container = await agent.create(spec, "hooked");
    const [pid] = container.processes();
    const names = () => lines().map((line) => line.split(" ")[0]);
    expect(names()).toEqual(["prestart", "prestart-2", "createRuntime", "createContainer"]);
    await container.start();
    await container.signal(9);
    await container.remove();
    const run = names();
    expect(run.filter((name) => name !== "program")).toEqual([
      "prestart",
      "prestart-2",
      "createRuntime",
      "createContainer",
      "startContainer",
      "poststart",
      "poststop",
    ]);
    const states = lines().flatMap((line) => {
      const [name, text] = line.split(/ (.*)/);
      return text === undefined ? [] : [[name, JSON.parse(text)]];
    });
    const state = (status: string, more: object) => ({
      ociVersion: "1.1.0",
      id: "hooked",
      status,
      ...more,
      bundle: "/run/kata-containers/hooked",
      annotations: { key: "value" },
    });
    expect(Object.fromEntries(states)).toEqual({
      prestart: state("creating", { pid }),
      "prestart-2": state("creating", { pid }),
      createRuntime: state("creating", { pid }),
      createContainer: state("creating", { pid }),
      startContainer: state("created", { pid }),
      poststart: state("running", { pid }),
      poststop: state("stopped", {}),
    });
    expect(existsSync("/run/kata-containers/hooked")).toBe(false);
  });

  test("a hook finds the container's mounts through its pid, and its spec in the bundle", async () => {
    const script = `bundle=$(sed 's/.*"bundle":"\\([^"]*\\)".*/\\1/'); cp $bundle/config.json ${host}/config`;
    const inside = `readlink /proc/self/ns/mnt > ${host}/mnt; readlink /proc/self/ns/pid >> ${host}/mnt; test -e /etc/debian_version`;
    const spec: Spec = {
      ...withProcess(sh("true"), { rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: 4096 }] }),
      hooks: { createRuntime: [failing(script)], createContainer: [failing(inside)] },
    };
    expect((await agent.run(spec)).status).toBe(0);
    expect(JSON.parse(readFileSync(join(host, "config"), "utf8"))).toMatchObject({
      root: { path: rootfs.path },
      process: { args: ["sh", "-c", "true"] },
    });
    const [mount, pid] = readFileSync(join(host, "mnt"), "utf8").split("\n");
    // createContainer runs in the container's namespaces.
    expect(mount).toMatch(/^mnt:\[\d+\]$/);
    expect(mount).not.toBe(readlinkSync(`/proc/${agent.pid}/ns/mnt`));
    expect(pid).not.toBe(readlinkSync(`/proc/${agent.pid}/ns/pid`));
  });

  test.each(["prestart", "createRuntime", "createContainer"] as const)(
    "creating a container fails with what its %s hook says, and leaves nothing",
    async (point) => {
      const before = agent.state();
      const spec: Spec = {
        ...sh("true"),
        hooks: { [point]: [failing("echo no luck >&2; exit 3"), hook("never")] },
      };
      await expect(agent.create(spec)).rejects.toThrow(
        `run ${point} hook: /bin/sh: it ended with status 3 (no luck)`,
      );
      expect(lines()).toEqual([]);
      await agent.settled(before);
    },
  );

  test("starting a container fails when its startContainer hook does", async () => {
    const spec: Spec = {
      ...sh("echo ran"),
      hooks: { startContainer: [failing("exit 4", { env: ["PATH=/bin"] })] },
    };
    await using container = await agent.create(spec);
    await expect(container.start()).rejects.toThrow("it ended with status 4");
    expect((await container.result()).stdout).toBe("");
  });

  test("starting a container fails and the container ends when its poststart hook fails", async () => {
    const spec: Spec = { ...sh("exec sleep 1000"), hooks: { poststart: [failing("exit 5")] } };
    await using container = await agent.create(spec);
    await expect(container.start()).rejects.toThrow("run poststart hook: /bin/sh: it ended with status 5");
    expect(await container.wait()).toBe(137);
  });

  test("removing a container succeeds when its poststop hook fails, and the others run", async () => {
    await agent.run({ ...sh("true"), hooks: { poststop: [failing("exit 6")] } });
    expect(existsSync("/run/kata-containers/container-1")).toBe(false);
  });

  test.each(["createRuntime", "createContainer"] as const)(
    "a %s hook that does not end is killed at its timeout, with all that it has started",
    async (point) => {
      const before = agent.state();
      const spec: Spec = {
        ...sh("true"),
        hooks: { [point]: [failing("sleep 7777 & sleep 7777", { timeout: 1 })] },
      };
      await expect(agent.create(spec)).rejects.toThrow("did not end within 1000 ms");
      await agent.settled(before);
    },
  );

  test.each([
    [{ path: "relative" }, "the path is absolute"],
    [{ path: "/bin/true", timeout: -1 }, "hooks.prestart[0].timeout: expected an integer from 1"],
    [{ path: "/no-such-hook" }, "it ended with status 127"],
  ])("the hook %j is refused", async (bad, message) => {
    await expect(agent.create({ ...sh("true"), hooks: { prestart: [bad] } })).rejects.toThrow(message);
  });
});
