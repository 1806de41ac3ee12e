import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startAgent, type TestAgent } from "./harness/agent.ts";
import { busyboxRootfs, type Rootfs } from "./harness/busybox-rootfs.ts";
import { containerSpec, withLinux, withProcess } from "./harness/container-spec.ts";

let rootfs: Rootfs;
let agent: TestAgent;

beforeAll(async () => {
  rootfs = busyboxRootfs();
  agent = await startAgent();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  rootfs[Symbol.dispose]();
});

const sh = (script: string) => containerSpec(rootfs.path, ["sh", "-c", script]);
const SIGTERM = 15;
const SIGKILL = 9;
const SIGUSR1 = 10;

describe("exec", () => {
  test("an exec runs in the container's namespaces, root and cgroup", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    const script =
      "for n in pid mnt ipc uts cgroup; do test $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) || echo $n; done; cmp /proc/self/cgroup /proc/1/cgroup && hostname && ls /work && exit 9";
    expect(await container.exec("e1", ["sh", "-c", script])).toEqual({
      status: 9,
      stdout: "box\ndangling\nnot-executable\n",
      stderr: "",
    });
  });

  test("an exec has only descriptors 0, 1 and 2, and the container's filter and user", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    expect((await container.exec("fds", ["ls", "/proc/self/fd"])).stdout).toBe("0\n1\n2\n3\n");
    const user = { uid: 1000, gid: 1000, additionalGids: [2000] };
    const result = await container.exec("id", ["id"], { user });
    expect(result.stdout).toBe("uid=1000(user) gid=1000(user) groups=2000(extra)\n");
  });

  test("an exec has a terminal when it asks for one", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    const result = await container.exec("tty", ["sh", "-c", "tty; stty size"], {
      terminal: true,
      consoleSize: { height: 11, width: 22 },
    });
    expect(result.stdout).toBe("/dev/pts/0\r\n11 22\r\n");
  });

  test("an exec of a missing program fails, and its id is free again", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    await expect(container.exec("e", ["nosuch"])).rejects.toThrow(
      'exec: "nosuch": executable file not found in $PATH',
    );
    expect((await container.exec("e", ["true"])).status).toBe(0);
  });

  test("an exec id is taken until somebody has heard how its process ended", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    const first = await container.startExec("e", ["sh", "-c", "read x; exit 3"]);
    await expect(container.startExec("e", ["true"])).rejects.toMatchObject({ code: "already-exists" });
    await first.closeStdin();
    expect(await first.wait()).toBe(3);
    expect((await container.exec("e", ["sh", "-c", "exit 4"])).status).toBe(4);
    const both = [container.startExec("f", ["true"]), container.startExec("f", ["true"])];
    const outcomes = (await Promise.allSettled(both)).map(({ status }) => status).sort();
    expect(outcomes).toEqual(["fulfilled", "rejected"]);
  });

  test("a hundred execs one after the other leave no descriptor and no process of the agent's behind", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    await container.exec("warm", ["true"]);
    const before = agent.state();
    for (let round = 0; round < 100; round++) {
      expect(await container.exec(`round-${round}`, ["echo", String(round)])).toEqual({
        status: 0,
        stdout: `${round}\n`,
        stderr: "",
      });
    }
    expect(agent.state()).toEqual(before);
  });

  test("an exec is refused when the container has ended", async () => {
    await using container = await agent.create(sh("exit 3"));
    await container.start();
    await container.wait();
    await expect(container.exec("late", ["true"])).rejects.toThrow("it is stopped");
  });
});

describe("signals", () => {
  test("a signal reaches the first process when it has a handler", async () => {
    await using container = await agent.create(
      sh("trap 'echo usr1; exit 5' USR1; echo ready; while :; do sleep 0.02; done"),
    );
    await container.start();
    await container.readUntil("stdout", "ready\n");
    await container.signal(SIGUSR1);
    expect(await container.wait()).toBe(5);
    expect((await container.readAll("stdout")).toString()).toBe("usr1\n");
  });

  test("SIGTERM ends a first process that has no handler for it", async () => {
    await using container = await agent.create(containerSpec(rootfs.path, ["sleep", "1000"]));
    await container.start();
    await container.signal(SIGTERM);
    expect(await container.wait()).toBe(137);
  });

  test("a signal to an exec reaches that process only", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    const exec = await container.startExec("victim", ["sleep", "1000"]);
    await exec.signal(SIGTERM);
    expect(await exec.wait()).toBe(143);
    expect(await container.isRunning()).toBe(true);
  });

  test("SIGKILL without an exec id ends every process of the container", async () => {
    await using container = await agent.create(sh("sleep 1000 & sleep 1000 & exec sleep 1000"));
    await container.start();
    const exec = await container.startExec("also", ["sh", "-c", "trap '' TERM; sleep 1000"]);
    await container.signal(SIGKILL);
    expect([await container.wait(), await exec.wait()]).toEqual([137, 137]);
    expect(container.processes()).toEqual([]);
  });

  test("a signal to a process that has ended is no error", async () => {
    await using container = await agent.create(sh("exit 0"));
    await container.start();
    await container.wait();
    await container.signal(SIGTERM);
    await container.signal(SIGKILL);
  });

  test("a container that was never started can be killed and waited for", async () => {
    await using container = await agent.create(sh("exit 0"));
    await container.signal(SIGKILL);
    expect(await container.wait()).toBe(137);
    await expect(container.start()).rejects.toThrow("it is stopped");
  });
});

describe("pause", () => {
  test("a paused container stands still until it is resumed", async () => {
    await using container = await agent.create(sh("while :; do echo x; sleep 0.01; done"));
    await container.start();
    await container.readUntil("stdout", "x\n");
    await container.pause();
    await container.drain("stdout");
    expect(await container.readWithin("stdout", 200)).toBe("nothing");
    await expect(container.exec("e", ["true"])).rejects.toThrow("it is paused");
    await container.resume();
    expect(await container.readWithin("stdout", 5000)).toBe("something");
  });

  test("a paused container can be killed", async () => {
    await using container = await agent.create(sh("exec sleep 1000"));
    await container.start();
    await container.pause();
    await container.signal(SIGKILL);
    expect(await container.wait()).toBe(137);
  });

  test("verbs at the wrong time are refused in a sentence that tells the state", async () => {
    await using container = await agent.create(sh("read x"));
    await expect(container.pause()).rejects.toThrow(/pause container .*: it is created/);
    await container.start();
    await expect(container.start()).rejects.toThrow(/start container .*: it is running/);
    await expect(container.resume()).rejects.toThrow(/resume container .*: it is running/);
    await container.closeStdin();
    await container.wait();
    await expect(container.pause()).rejects.toThrow(/it is stopped/);
  });
});

describe("limits", () => {
  test("a container cannot have more processes than its pids limit", async () => {
    const spec = withLinux(sh("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo done"), {
      resources: { pids: { limit: 5 } },
    });
    const { stdout, stderr } = await agent.run(spec);
    expect([stdout, stderr]).toEqual(["", expect.stringContaining("fork")]);
  });

  test("a process that takes more memory than the limit is killed, and the host hears of it", async () => {
    const event = agent.nextOom();
    const spec = withLinux(sh("head -c 64m /dev/zero | tail -c 64m > /dev/null; echo $?; exec sleep 1000"), {
      resources: { memory: { limit: 16 << 20 } },
    });
    await using container = await agent.create(spec);
    await container.start();
    expect((await container.readUntil("stdout", "137\n")).toString()).toBe("137\n");
    expect(await event).toBe(container.id);
  });

  test("statistics tell limits and use, and an update changes the limits", async () => {
    const spec = withLinux(sh("exec sleep 1000"), {
      resources: {
        memory: { limit: 64 << 20 },
        pids: { limit: 20 },
        cpu: { shares: 512, quota: 50_000, period: 100_000 },
      },
    });
    await using container = await agent.create(spec);
    await container.start();
    const before = await container.stats();
    expect(before).toMatchObject({ memoryLimit: 64 << 20, pidsLimit: 20, pidsCurrent: 1 });
    expect(before.cpuTotal).toBeGreaterThan(0);
    expect(before.memoryUsage).toBeGreaterThan(0);
    await container.update({ memory: { limit: 32 << 20 }, pids: { limit: 10 } });
    expect(await container.stats()).toMatchObject({ memoryLimit: 32 << 20, pidsLimit: 10 });
  });

  test("a CPU quota holds", async () => {
    const spec = withLinux(sh("end=$(($(date +%s)+2)); while [ $(date +%s) -lt $end ]; do :; done"), {
      resources: { cpu: { quota: 10_000, period: 100_000 } },
    });
    await using container = await agent.create(spec);
    await container.start();
    await container.wait();
    const { cpuTotal, throttledPeriods } = await container.stats();
    expect(cpuTotal).toBeLessThan(1e9);
    expect(throttledPeriods).toBeGreaterThan(0);
  });
});

describe("removal", () => {
  test("removing a container leaves no process, mount, cgroup or descriptor", async () => {
    const before = agent.state();
    {
      await using container = await agent.create(sh("sleep 1000 & exec sleep 1000"));
      await container.start();
      await container.startExec("e", ["sleep", "1000"]);
    }
    expect(agent.state()).toEqual(before);
  });

  test("a removed container's id can be used again, and asking for it fails", async () => {
    {
      await using container = await agent.create(sh("exit 1"), "twice");
      await expect(agent.create(sh("exit 1"), "twice")).rejects.toThrow("create container: twice");
      await container.start();
      await container.wait();
    }
    await using again = await agent.create(sh("exit 2"), "twice");
    await again.start();
    expect(await again.wait()).toBe(2);
    await expect(agent.container("unknown").wait()).rejects.toThrow('find container: "unknown"');
  });

  test("orphans of a container without a pid namespace of its own are reaped and ended with it", async () => {
    const before = agent.state();
    {
      const spec = withLinux(sh("(sleep 0.1 &); (sleep 1000 &); exit 0"), {
        namespaces: [{ type: "ipc" }, { type: "uts" }, { type: "mount" }],
      });
      await using container = await agent.create(spec);
      await container.start();
      expect(await container.wait()).toBe(0);
    }
    await agent.settled(before);
  });

  test.each(["", "../x", "a/b", "-x", "x".repeat(129), "a b", "\u00e4"])(
    "the id %j is refused",
    async (id) => {
      await expect(agent.create(sh("true"), id)).rejects.toThrow(/container id/);
    },
  );

  test("a spec without a process or a root is refused", async () => {
    const { process: _process, ...noProcess } = sh("true");
    await expect(agent.create(noProcess)).rejects.toThrow("process");
    await expect(agent.create(withProcess(sh("true"), { args: [] }))).rejects.toThrow("no program");
    await expect(agent.create(withProcess(sh("true"), { cwd: "relative" }))).rejects.toThrow("absolute");
    await expect(agent.create(withLinux(sh("true"), { namespaces: [{ type: "pid" }] }))).rejects.toThrow(
      "mount namespace",
    );
  });
});
