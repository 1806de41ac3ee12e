import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startAgent, type TestAgent } from "./harness/agent.ts";
import { busyboxRootfs, type Rootfs } from "./harness/busybox-rootfs.ts";
import { containerSpec, withLinux, withProcess } from "./harness/container-spec.ts";

let rootfs: Rootfs;
let agent: TestAgent;

beforeAll(async () => {
  rootfs = busyboxRootfs();
  mkdirSync(join(rootfs.path, "home"), { recursive: true });
  agent = await startAgent();
});
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  rootfs[Symbol.dispose]();
});

const sh = (script: string) => containerSpec(rootfs.path, ["sh", "-c", script]);

describe("exit status", () => {
  test.each([
    ["exit 0", 0],
    ["exit 42", 42],
    ["exit 255", 255],
    ["kill -9 $$; sleep 1", 137],
  ])("a container that runs %j ends with %i", async (script, status) => {
    // As process 1 a shell is immune to its own signals, so a child does it.
    const inner = script.includes("kill") ? "sh -c 'kill -9 $$'; exit $?" : script;
    expect((await agent.run(sh(inner))).status).toBe(status);
  });

  test("several waiters hear the same status, also when they ask after the end", async () => {
    await using container = await agent.create(sh("read line; exit 7"));
    await container.start();
    const waiters = [container.wait(), container.wait(), container.wait()];
    await container.closeStdin();
    expect(await Promise.all(waiters)).toEqual([7, 7, 7]);
    expect(await container.wait()).toBe(7);
  });
});

describe("the end of a process brings what was left in its streams", () => {
  const end = async (script: string, outputBytes: number) => {
    await using container = await agent.create(sh(script));
    await container.start();
    const { status, output } = await agent.calls.waitProcess({ containerId: container.id, outputBytes });
    const rest = { stdout: await container.readAll("stdout"), stderr: await container.readAll("stderr") };
    const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();
    return {
      status,
      told: output && [output.stdout && text(output.stdout), output.stderr && text(output.stderr)],
      rest: [rest.stdout.toString(), rest.stderr.toString()],
    };
  };

  test("if the host asks for it", async () => {
    const script = "echo out; echo err >&2; exit 3";
    expect(await end(script, 100)).toEqual({
      status: 3,
      told: ["out\n", "err\n"],
      rest: ["", ""],
    });
    expect(await end(script, 0)).toEqual({ status: 3, told: undefined, rest: ["out\n", "err\n"] });
  });

  test("if that is not more than was asked for; otherwise it can be read", async () => {
    expect(await end("printf 0123456789", 4)).toEqual({
      status: 0,
      told: [undefined, ""],
      rest: ["0123456789", ""],
    });
  });

  test("unless somebody else may still write to them", async () => {
    await using container = await agent.create(sh("read line"));
    await container.start();
    const exec = await container.startExec("e", ["sh", "-c", "(sleep 0.5; echo late) & echo soon; exit 5"]);
    const request = { containerId: container.id, execId: "e", outputBytes: 100 };
    const { status, output } = await agent.calls.waitProcess(request);
    expect([status, output?.stdout]).toEqual([5, undefined]);
    expect((await exec.readAll("stdout")).toString()).toBe("soon\nlate\n");
  });

  test("but nothing of a stream that was read, so that what comes later is not heard of first", async () => {
    await using container = await agent.create(sh("echo first; read line; echo second; echo third; exit 4"));
    await container.start();
    expect((await container.read("stdout")).toString()).toBe("first\n");
    const waiting = agent.calls.waitProcess({ containerId: container.id, outputBytes: 100 });
    await container.closeStdin();
    const { status, output } = await waiting;
    expect([status, output?.stdout]).toEqual([4, undefined]);
    expect((await container.readAll("stdout")).toString()).toBe("second\nthird\n");
  });
});

describe("standard streams", () => {
  test("stdout and stderr arrive apart when a process writes to both", async () => {
    expect(await agent.run(sh("echo out; echo err >&2"))).toEqual({
      status: 0,
      stdout: "out\n",
      stderr: "err\n",
    });
  });

  test("10 MB come back unchanged when a process copies stdin to stdout", async () => {
    await using container = await agent.create(containerSpec(rootfs.path, ["cat"]));
    await container.start();
    const sent = Buffer.alloc(10 << 20);
    for (let at = 0; at < sent.length; at += 4) sent.writeUInt32LE((at * 2654435761) >>> 0, at);
    const received = container.readAll("stdout");
    for (let at = 0; at < sent.length; at += 1 << 19)
      await container.writeStdin(sent.subarray(at, at + (1 << 19)));
    await container.closeStdin();
    expect(sent.equals(await received)).toBe(true);
    expect(await container.wait()).toBe(0);
  });

  test("a process stands still when nobody reads its output", async () => {
    await using container = await agent.create(sh("head -c 1000000 /dev/zero; echo end >&2"));
    await container.start();
    // The pipe holds 64 KiB; "end" is written only after a reader has come.
    const stderr = container.readAll("stderr");
    const first = await Promise.race([
      stderr.then(() => "ended"),
      container.read("stdout", 10).then(() => "read"),
    ]);
    expect(first).toBe("read");
    expect((await container.readAll("stdout")).length).toBe(1_000_000 - 10);
    expect((await stderr).toString()).toBe("end\n");
  });

  test("stdin stays open until it is closed, and writing to an ended process fails", async () => {
    await using container = await agent.create(sh("read a; echo got $a; exec cat"));
    await container.start();
    await container.writeStdin(Buffer.from("one\n"));
    expect((await container.read("stdout", 100)).toString()).toBe("got one\n");
    await container.closeStdin();
    expect(await container.wait()).toBe(0);
    await expect(container.writeStdin(Buffer.from("x"))).rejects.toThrow(/stdin is closed|EPIPE/);
  });
});

describe("terminal", () => {
  const terminal = (script: string) => withProcess(sh(script), { terminal: true });

  test("a process with a terminal sees one, of the size that it was given", async () => {
    const spec = withProcess(
      terminal("tty; stty size; test -t 0 -a -t 1 -a -t 2; echo $?; ls -l /dev/console"),
      {
        consoleSize: { height: 30, width: 90 },
      },
    );
    const { stdout, status } = await agent.run(spec);
    const lines = stdout.split("\r\n");
    expect(lines.slice(0, 3)).toEqual(["/dev/pts/0", "30 90", "0"]);
    expect(lines[3]).toMatch(/^crw.* 136, +0 /);
    expect(status).toBe(0);
  });

  test("a resize reaches the process when its terminal changes", async () => {
    await using container = await agent.create(
      terminal("trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done"),
    );
    await container.start();
    expect((await container.readUntil("stdout", "ready\r\n")).toString()).toBe("ready\r\n");
    await container.resize(50, 132);
    expect((await container.readAll("stdout")).toString()).toBe("50 132\r\n");
    expect(await container.wait()).toBe(0);
  });

  test("control-C interrupts the foreground process when it comes through the terminal", async () => {
    await using container = await agent.create(
      terminal("trap 'echo told' INT; sh -c 'echo ready; exec sleep 100'; echo $?"),
    );
    await container.start();
    await container.readUntil("stdout", "ready\r\n");
    await container.writeStdin(Buffer.from([3]));
    expect((await container.readAll("stdout")).toString()).toBe("^Ctold\r\n130\r\n");
  });

  test("a resize is refused when there is no terminal", async () => {
    await using container = await agent.create(sh("true"));
    await expect(container.resize(1, 1)).rejects.toThrow("it has no terminal");
  });
});

describe("program", () => {
  test.each([
    [["nosuch"], 'exec: "nosuch": executable file not found in $PATH'],
    [["/nosuch"], 'exec: "/nosuch": stat /nosuch: no such file or directory'],
    [["/work/not-executable"], 'exec: "/work/not-executable": permission denied'],
    [["/work"], 'exec: "/work": permission denied'],
    [[""], 'exec: "": executable file not found in $PATH'],
  ])("creating a container with %j fails with %j", async (args, message) => {
    const before = agent.state();
    await expect(agent.create(containerSpec(rootfs.path, args))).rejects.toThrow(message);
    expect(agent.state()).toEqual(before);
  });

  test("starting a container fails when the interpreter of its program is missing", async () => {
    writeFileSync(join(rootfs.path, "work/bad-interpreter"), "#!/nosuch\n", { mode: 0o755 });
    await using container = await agent.create(containerSpec(rootfs.path, ["/work/bad-interpreter"]));
    await expect(container.start()).rejects.toThrow(
      'exec: "/work/bad-interpreter": no such file or directory',
    );
  });

  test("the environment is the spec's, with HOME from passwd", async () => {
    const spec = withProcess(sh("env | sort"), {
      env: ["PATH=/bin", "B=2=3", "A=1", "A=0"],
      user: { uid: 1000, gid: 1000 },
    });
    const { stdout } = await agent.run(spec);
    expect(stdout.split("\n").filter((line) => !/^(PWD|SHLVL|OLDPWD)=/.test(line))).toEqual([
      "A=0",
      "B=2=3",
      "HOME=/home/user",
      "PATH=/bin",
      "",
    ]);
  });

  test("a missing working directory is made", async () => {
    const spec = withProcess(sh("pwd"), { cwd: "/new/deep/directory" });
    expect((await agent.run(spec)).stdout).toBe("/new/deep/directory\n");
  });

  test("only descriptors 0, 1 and 2 are open when a program starts", async () => {
    const { stdout } = await agent.run(sh("for fd in /proc/self/fd/*; do basename $fd; done"));
    // The shell opens the directory for its pattern after it has begun.
    expect(
      stdout
        .trim()
        .split("\n")
        .filter((fd) => Number(fd) > 2 && Number(fd) !== 3),
    ).toEqual([]);
    const { stdout: direct } = await agent.run(containerSpec(rootfs.path, ["ls", "/proc/self/fd"]));
    expect(direct).toBe("0\n1\n2\n3\n");
  });

  test("signals have their default actions when a program starts", async () => {
    const { stdout } = await agent.run(
      containerSpec(rootfs.path, ["grep", "^Sig[BIC]", "/proc/self/status"]),
    );
    expect(stdout).toBe("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n");
  });
});

describe("process attributes", () => {
  test("user, group and additional groups are the spec's, the umask is the usual one", async () => {
    const spec = withProcess(sh("id -u; id -g; id -G; umask"), {
      user: { uid: 1000, gid: 1001, additionalGids: [2000, 3000] },
    });
    const { stdout } = await agent.run(spec);
    expect(stdout).toBe("1000\n1001\n1001 2000 3000\n0022\n");
  });

  test("limits are the spec's", async () => {
    const spec = withProcess(sh("ulimit -n; ulimit -Hn; ulimit -c"), {
      rlimits: [
        { type: "RLIMIT_NOFILE", soft: 100, hard: 200 },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ],
    });
    expect((await agent.run(spec)).stdout).toBe("100\n200\n0\n");
  });

  test("a program may be allowed no more files than it has", async () => {
    const spec = withProcess(sh("ulimit -n; : < /dev/null; echo never"), {
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 3, hard: 3 }],
    });
    expect(await agent.run(spec)).toMatchObject({
      stdout: "3\n",
      stderr: expect.stringContaining("open files"),
    });
  });

  test("capability sets are the spec's when the user is root", async () => {
    const spec = withProcess(containerSpec(rootfs.path, ["grep", "^Cap", "/proc/self/status"]), {
      capabilities: {
        bounding: ["CAP_CHOWN", "CAP_KILL"],
        effective: ["CAP_CHOWN"],
        permitted: ["CAP_CHOWN", "CAP_KILL"],
        inheritable: [],
        ambient: [],
      },
    });
    // A program that root executes gets its permitted set from the bounding set (capabilities(7)).
    expect((await agent.run(spec)).stdout).toBe(
      "CapInh:\t0000000000000000\nCapPrm:\t0000000000000021\nCapEff:\t0000000000000021\nCapBnd:\t0000000000000021\nCapAmb:\t0000000000000000\n",
    );
  });

  test("an ambient capability survives execve when the user is not root", async () => {
    const one = ["CAP_NET_BIND_SERVICE"];
    const spec = withProcess(containerSpec(rootfs.path, ["grep", "^Cap", "/proc/self/status"]), {
      user: { uid: 1000, gid: 1000 },
      capabilities: { bounding: one, effective: one, permitted: one, inheritable: one, ambient: one },
    });
    expect((await agent.run(spec)).stdout).toBe(
      "CapInh:\t0000000000000400\nCapPrm:\t0000000000000400\nCapEff:\t0000000000000400\nCapBnd:\t0000000000000400\nCapAmb:\t0000000000000400\n",
    );
  });

  test("a user without capabilities has none, and an empty inheritable set (CVE-2022-29162)", async () => {
    const spec = withProcess(containerSpec(rootfs.path, ["grep", "^Cap[IPEA]", "/proc/self/status"]), {
      user: { uid: 1000, gid: 1000 },
    });
    expect((await agent.run(spec)).stdout).toBe(
      "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n",
    );
  });

  test.each([
    [true, "1"],
    [false, "0"],
  ])("no_new_privs is %s as the spec says", async (noNewPrivileges, value) => {
    const spec = withProcess(containerSpec(rootfs.path, ["grep", "^NoNewPrivs", "/proc/self/status"]), {
      noNewPrivileges,
    });
    expect((await agent.run(spec)).stdout).toBe(`NoNewPrivs:\t${value}\n`);
  });

  test("each container has a session keyring of its own, which its execs join", async () => {
    const ids = [`keys-${Date.now()}-a`, `keys-${Date.now()}-b`];
    const spec = withLinux(sh("exec sleep 1000"), { maskedPaths: [] });
    await using one = await agent.create(spec, ids[0]);
    await one.start();
    await using two = await agent.create(spec, ids[1]);
    await two.start();
    // The file shows the keyrings of a process's user: an exec that had made one more would show there.
    const script = ids.map((id) => `grep -c '_ses.${id}:' /proc/keys`).join("; ");
    expect((await one.exec("first", ["sh", "-c", script])).stdout).toBe("1\n1\n");
    expect((await one.exec("second", ["sh", "-c", script])).stdout).toBe("1\n1\n");
  });

  test("the out-of-memory score is the spec's", async () => {
    const spec = withProcess(containerSpec(rootfs.path, ["cat", "/proc/self/oom_score_adj"]), {
      oomScoreAdj: 300,
    });
    expect((await agent.run(spec)).stdout).toBe("300\n");
  });

  test.each([true, false])(
    "a system call that the seccomp filter denies fails with its errno when no_new_privs is %s",
    async (noNewPrivileges) => {
      const spec = withProcess(
        sh("mkdir /tmp/denied; echo $?; touch /tmp/allowed; echo $?; grep ^Seccomp: /proc/self/status"),
        {
          noNewPrivileges,
        },
      );
      const filtered = withLinux(spec, {
        seccomp: {
          defaultAction: "SCMP_ACT_ALLOW",
          architectures: ["SCMP_ARCH_X86_64"],
          syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
        },
      });
      const result = await agent.run(filtered);
      expect(result.stdout).toBe("1\n0\nSeccomp:\t2\n");
      expect(result.stderr).toContain("Operation not permitted");
    },
  );
});
