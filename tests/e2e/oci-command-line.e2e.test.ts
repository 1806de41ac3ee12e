/** The OCI command line, as engines call it. Sources: OCI runtime specification, "Operations"; runc's command line. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { mustRun } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { OciRuntime } from "../harness/oci-runtime.ts";
import { listProcesses } from "../harness/processes.ts";
import { subject } from "../harness/subject.ts";
import { startInTerminal } from "../harness/terminal.ts";
import { test } from "../harness/workbench.ts";

/** Ends with 3 when it is told to. */
const UNTIL_TERM = 'trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.1; done';

const END_DEADLINE_MS = 20_000;

/** Sub-tests of one container, which takes seconds to boot. */
describe("a container of the OCI command line", () => {
  test("goes through its states, and is answered for in runc's words", async ({ bench }) => {
    await using runtime = await OciRuntime.on(bench);
    const data = join(bench.scratch, "data");
    mkdirSync(data);
    writeFileSync(join(data, "host"), "of the host\n");
    const told = (point: string) => ({
      path: "/bin/sh",
      args: ["sh", "-c", `cat > ${bench.scratch}/${point}`],
    });
    const { id, directory } = runtime.bundle(UNTIL_TERM, {
      mounts: [{ destination: "/data", type: "bind", source: data, options: ["rbind", "rw"] }],
      hooks: {
        createRuntime: [told("createRuntime")],
        poststart: [told("poststart")],
        poststop: [told("poststop")],
      },
    });

    const { pid, output } = await runtime.create(id, directory);
    expect(await runtime.state(id)).toMatchObject({ id, status: "created", pid, bundle: directory });
    expect((await runtime.call(["create", "--bundle", directory, id])).stderr).toMatch(/already exists/);
    expect(JSON.parse(readFileSync(join(bench.scratch, "createRuntime"), "utf8"))).toMatchObject({
      id,
      pid,
      bundle: directory,
      status: expect.stringMatching(/^creat(ing|ed)$/),
    });

    await runtime.must("start", id);
    expect(await runtime.state(id)).toMatchObject({ status: "running", pid });
    expect(JSON.parse(readFileSync(join(bench.scratch, "poststart"), "utf8"))).toMatchObject({
      id,
      pid,
      // What runc still says.
      status: expect.stringMatching(/^(created|running)$/),
    });
    const again = await runtime.call(["start", id]);
    expect(again).toMatchObject({ status: 1, stdout: "" });
    expect(again.stderr).toMatch(/cannot start an already running container/);
    expect(JSON.parse(await runtime.must("list", "--format", "json"))).toMatchObject([
      { id, status: "running", pid },
    ]);
    expect((await runtime.must("list")).split("\n")).toEqual([
      expect.stringMatching(/^ID +PID +STATUS +BUNDLE +CREATED +OWNER$/),
      expect.stringMatching(new RegExp(`^${id} +${pid} +running +${directory} `)),
      "",
    ]);
    expect(await runtime.must("list", "--quiet")).toBe(`${id}\n`);

    // An engine that enters the process's namespaces finds the container's files there, not the host's.
    expect(readFileSync(`/proc/${pid}/root/data/host`, "utf8")).toBe("of the host\n");
    expect(existsSync(`/proc/${pid}/root${bench.scratch}`)).toBe(false);
    writeFileSync(`/proc/${pid}/root/etc/from-outside`, "outside\n");
    expect((await runtime.call(["exec", id, "cat", "/etc/from-outside"])).stdout).toBe("outside\n");

    expect(
      await runtime.call(
        [
          "exec",
          "--env",
          "B=2",
          "--env",
          "C=3",
          "--cwd",
          "/data",
          "--user",
          "7:8",
          id,
          "sh",
          "-c",
          "cat; echo $A$B$C; pwd; id -u; id -g; exit 5",
        ],
        {
          stdin: "typed\n",
        },
      ),
    ).toMatchObject({ status: 5, stdout: "typed\n123\n/data\n7\n8\n", stderr: "" });
    const missing = await runtime.call(["exec", id, "no-such-program"]);
    expect(missing).toMatchObject({ status: 255, stdout: "" });
    expect(missing.stderr).toMatch(/no-such-program.*executable file not found in \$PATH/);
    const process = join(bench.scratch, "process.json");
    writeFileSync(
      process,
      JSON.stringify({
        args: ["sh", "-c", "sleep 1; echo done > /data/done"],
        cwd: "/",
        env: ["PATH=/bin"],
        user: { uid: 0, gid: 0 },
      }),
    );
    const pidFile = join(bench.scratch, "exec-pid");
    await detached(runtime, ["exec", "--detach", "--pid-file", pidFile, "--process", process, id]);
    const execPid = readFileSync(pidFile, "utf8");
    expect(existsSync(`/proc/${execPid}`)).toBe(true);
    await eventually("end of the detached process", END_DEADLINE_MS, () =>
      hasEnded(execPid) ? true : undefined,
    );
    expect(readFileSync(join(data, "done"), "utf8")).toBe("done\n");

    expect(JSON.parse(await runtime.must("ps", "--format", "json", id))).toEqual(
      expect.arrayContaining([expect.any(Number)]),
    );
    expect(JSON.parse(await runtime.must("events", "--stats", id))).toMatchObject({
      type: "stats",
      id,
      data: { cpu: { usage: { total: expect.any(Number) } }, pids: { current: expect.any(Number) } },
    });
    await runtime.must("pause", id);
    expect(await runtime.state(id)).toMatchObject({ status: "paused", pid });
    await runtime.must("resume", id);
    await runtime.must("update", "--memory", "64m", "--pids-limit", "40", id);

    const alive = await runtime.call(["delete", id]);
    expect(alive).toMatchObject({ status: 1, stdout: "" });
    expect(alive.stderr).toMatch(/cannot delete container .* that is not stopped: running/);
    await runtime.must("kill", id, "TERM");
    await eventually(
      "stopped",
      END_DEADLINE_MS,
      async () => (await runtime.state(id)).status === "stopped" || undefined,
    );
    expect(await runtime.state(id)).toMatchObject({ status: "stopped", pid: 0 });
    expect(output()).toBe("ready\nbye\n");
    const ended = await runtime.call(["kill", id, "KILL"]);
    expect(ended.status).toBe(1);
    expect(ended.stderr).toMatch(/container not running/);
    expect((await runtime.call(["exec", id, "true"])).status).toBe(255);
    await runtime.must("delete", id);
    expect(JSON.parse(readFileSync(join(bench.scratch, "poststop"), "utf8"))).toMatchObject({
      id,
      status: "stopped",
    });
    const gone = await runtime.call(["state", id]);
    expect(gone).toMatchObject({ status: 1, stdout: "" });
    expect(gone.stderr).toMatch(/container does not exist/);
    await runtime.must("delete", "--force", id);
  });

  test("runs in the foreground: input, output, exit status, signals", async ({ bench }) => {
    await using runtime = await OciRuntime.on(bench);
    const { id, directory } = runtime.bundle("cat; echo complaint >&2; exit 7");
    expect(await runtime.call(["run", "--bundle", directory, id], { stdin: "hello" })).toMatchObject({
      status: 7,
      stdout: "hello",
      stderr: "complaint\n",
    });
    expect(await runtime.must("list", "--quiet")).toBe("");
  });

  test("has the caller's terminal, with its size", async ({ bench }) => {
    await using runtime = await OciRuntime.on(bench);
    const { id, directory } = runtime.bundle(
      'until stty size 2>/dev/null | grep -v "^0 0"; do sleep 0.1; done; read line; echo "got $line"; stty size; exit 4',
      {
        terminal: true,
      },
    );
    const words = [runtime.command, ...runtime.words("run", "--bundle", directory, id)];
    await using terminal = await startInTerminal(words, { rows: 31, columns: 101 }, runtime.env);
    await terminal.live.until("first size", (text) => text.includes("31 101"));
    await terminal.resize({ rows: 32, columns: 102 });
    // The new size goes its way beside what is typed.
    await new Promise((resolve) => setTimeout(resolve, 500));
    terminal.live.write("something\n");
    const { status, stdout } = await terminal.live.exited();
    expect(stdout.replaceAll("\r", "")).toBe("31 101\nsomething\ngot something\n32 102\n");
    expect(status).toBe(4);
  });

  test("shares machine and network with the container whose namespace it names", async ({ bench }) => {
    await using runtime = await OciRuntime.on(bench);
    const first = runtime.bundle(
      "echo page > /tmp/index.html; ip link set lo up; httpd -p 80 -h /tmp; sleep 1000",
    );
    const { pid } = await runtime.create(first.id, first.directory);
    await runtime.must("start", first.id);
    const second = runtime.bundle(
      "for i in $(seq 100); do wget -qO- http://127.0.0.1/index.html 2>/dev/null && exit 0; sleep 0.1; done; exit 9",
      {
        network: `/proc/${pid}/ns/net`,
      },
    );
    expect(await runtime.call(["run", "--bundle", second.directory, second.id])).toMatchObject({
      status: 0,
      stdout: "page\n",
    });
    if (subject.virtualMachine) {
      expect(await machinesOf(runtime, first.id)).toBe(1);
    }
    await runtime.must("delete", "--force", first.id);
  });

  test("that cannot be created says so in the log that it was given, and leaves nothing", async ({
    bench,
  }) => {
    await using runtime = await OciRuntime.on(bench);
    const { id, directory } = runtime.bundle("true", { terminal: true });
    const log = join(bench.scratch, "log.json");
    const { status, stdout, stderr } = await runtime.call(["create", "--bundle", directory, id]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(/level=error msg=.*console.socket/);
    const words = [
      "--log",
      log,
      "--log-format",
      "json",
      "create",
      "--bundle",
      join(directory, "nowhere"),
      id,
    ];
    expect(await runtime.call(words)).toMatchObject({ status: 1, stdout: "" });
    const record = JSON.parse(readFileSync(log, "utf8").trim().split("\n").at(-1) ?? "");
    expect(record).toEqual({
      level: "error",
      msg: expect.stringMatching(/nowhere/),
      time: expect.any(String),
    });
    expect(await runtime.must("list", "--quiet")).toBe("");
    rmSync(directory, { recursive: true });
    expect(statSync(bench.scratch).isDirectory()).toBe(true);
  });
});

/** Runs a command whose process goes on with the streams that it was given. */
async function detached(runtime: OciRuntime, args: readonly string[]): Promise<void> {
  const line = [runtime.command, ...runtime.words(...args)].map((word) => `'${word}'`).join(" ");
  await mustRun("sh", ["-c", `exec ${line} < /dev/null > /dev/null 2>&1`], { env: runtime.env });
}

/** Nobody of the test's has to wait for it, so that it may stay a zombie for a while. */
function hasEnded(pid: string): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return true;
  return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

/** Virtual machines of the containers whose names begin as `id` does. */
async function machinesOf(runtime: OciRuntime, id: string): Promise<number> {
  const tag = id.slice(0, id.lastIndexOf("-"));
  expect(runtime.command).toMatch(/kata-runtime$/);
  return listProcesses().filter(
    ({ argv }) => /qemu-system/.test(argv[0] ?? "") && argv.join(" ").includes(tag),
  ).length;
}
