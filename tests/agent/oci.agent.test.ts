/** Fields of the runtime specification whose effect a program can see. */
import { chmodSync, mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startAgent, type TestAgent } from "./harness/agent.ts";
import { busyboxRootfs, type Rootfs } from "./harness/busybox-rootfs.ts";
import { containerSpec, withLinux, withProcess } from "./harness/container-spec.ts";

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

describe("process", () => {
  test("umask, scheduler, I/O priority and personality are the spec's", async () => {
    const spec = withLinux(
      withProcess(
        sh("umask; uname -m; ionice; cut -d' ' -f41 /proc/self/stat; cut -d' ' -f19 /proc/self/stat"),
        {
          user: { uid: 0, gid: 0, umask: 0o027 },
          scheduler: { policy: "SCHED_BATCH", nice: 5 },
          ioPriority: { class: "IOPRIO_CLASS_BE", priority: 6 },
        },
      ),
      { personality: { domain: "LINUX32" } },
    );
    expect((await agent.run(spec)).stdout).toBe("0027\ni686\nbest-effort: prio 6\n3\n5\n");
  });

  test("an exec has its own umask and scheduler", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    const { stdout } = await container.exec("e", ["sh", "-c", "umask; cut -d' ' -f41 /proc/self/stat"], {
      user: { uid: 0, gid: 0, umask: 0 },
      scheduler: { policy: "SCHED_IDLE" },
    });
    expect(stdout).toBe("0000\n5\n");
  });

  test.each([
    [{ scheduler: { policy: "SCHED_OTHER", priority: 3 } }, "only SCHED_FIFO and SCHED_RR"],
    [{ scheduler: { policy: "SCHED_FIFO", priority: 3, runtime: 5 } }, "only SCHED_DEADLINE"],
    [{ ioPriority: { class: "IOPRIO_CLASS_RT", priority: 8 } }, "0 to 7"],
  ] as const)("the process %j is refused", async (process, message) => {
    await expect(agent.run(withProcess(sh("true"), process))).rejects.toThrow(message);
  });

  test("a seccomp filter that asks for a listener is refused, as none is there", async () => {
    const spec = withLinux(sh("true"), {
      seccomp: {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY" }],
      },
    });
    await expect(agent.run(spec)).rejects.toThrow("SCMP_ACT_NOTIFY");
  });

  test("a system call that no rule names fails with the filter's own errno", async () => {
    const spec = withLinux(sh("mkdir /tmp/x"), {
      seccomp: {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }],
      },
    });
    expect((await agent.run(spec)).stderr).toContain("No space left on device");
  });

  test("the domain name is the container's own", async () => {
    const { stdout } = await agent.run({
      ...sh("cat /proc/sys/kernel/domainname"),
      domainname: "example.org",
    });
    expect(stdout).toBe("example.org\n");
  });
});

test("an exec joins the container's own cgroup namespace", async () => {
  const spec = sh("readlink /proc/self/ns/cgroup; exec sleep 1000");
  const namespaces = [...(spec.linux?.namespaces ?? []), { type: "cgroup" as const }];
  await using container = await agent.create(withLinux(spec, { namespaces }));
  await container.start();
  const own = (await container.readUntil("stdout", "]\n")).toString();
  expect((await container.exec("e", ["readlink", "/proc/self/ns/cgroup"])).stdout).toBe(own);
  expect(own).not.toBe(`${readlinkSync("/proc/self/ns/cgroup")}\n`);
  // Its own cgroup is the root of what it sees.
  expect((await container.exec("c", ["grep", "pids", "/proc/self/cgroup"])).stdout).toMatch(/:pids:\/$/m);
});

describe("resources", () => {
  test("a limit below what is in use is refused when the spec asks to check", async () => {
    await using container = await agent.create(
      sh("head -c 20m /dev/zero > /dev/shm/x; echo ready; exec sleep 1000"),
    );
    await container.start();
    await container.readUntil("stdout", "ready");
    await expect(container.update({ memory: { limit: 8 << 20, checkBeforeUpdate: true } })).rejects.toThrow(
      "are in use",
    );
    await container.update({ memory: { limit: 256 << 20, checkBeforeUpdate: true } });
    expect((await container.stats()).memoryLimit).toBe(256 << 20);
  });

  test.each([
    [{ blockIO: { weight: 5 } }, /weight 5/],
    [{ blockIO: { weightDevice: [{ major: 8, minor: 0, weight: 1001 }] } }, /weight 1001/],
    [{ memory: { limit: 8 << 20, swap: 4 << 20 } }, /at least the memory limit/],
    [{ cpu: { cpus: "no" } }, /cpus/],
    [{ hugepageLimits: [{ pageSize: "3XB", limit: 1 }] }, /3XB/],
    [{ unified: { "../memory.max": "1" } }, /unified/],
  ])("the resources %j are refused, and nothing is left", async (resources, message) => {
    const before = agent.state();
    await expect(agent.run(withLinux(sh("true"), { resources }))).rejects.toThrow(message);
    expect(agent.state()).toEqual(before);
  });

  test("device rules are applied in order, the last one for a device decides", async () => {
    const rules = (allowLast: boolean) => [
      { allow: false, access: "rwm" },
      { allow: !allowLast, type: "c", major: 10, minor: 229, access: "rw" },
      { allow: allowLast, type: "c", major: 10, minor: 229, access: "rw" },
    ];
    const script = "mknod /tmp/fuse c 10 229; (: < /tmp/fuse) 2>&1 | grep -c 'not permitted'; rm /tmp/fuse";
    const denied = await agent.run(withLinux(sh(script), { resources: { devices: rules(false) } }));
    const allowed = await agent.run(withLinux(sh(script), { resources: { devices: rules(true) } }));
    expect([denied.stdout, allowed.stdout]).toEqual(["1\n", "0\n"]);
  });
});

test.each([
  ["kernel.hostname", "x"],
  ["kernel.core_pattern", "|/bin/sh"],
  ["kernel/../vm/swappiness", "1"],
  ["vm.swappiness", "1"],
  ["user.max_user_namespaces", "1"],
  ["net/../kernel/panic", "1"],
  ["", ""],
])("the sysctl %j is refused (it is not the container's own)", async (name, value) => {
  await expect(agent.run(withLinux(sh("true"), { sysctl: { [name]: value } }))).rejects.toThrow("set sysctl");
});
