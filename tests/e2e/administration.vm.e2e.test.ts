/** What the administrator of a host asks kata-runtime about sandboxes that run. */
import { mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { runCommand } from "../harness/command.ts";
import { withDebugShell } from "../harness/debug-image.ts";
import { eventually } from "../harness/eventually.ts";
import { BUILT_PROGRAMS, writeKataConfiguration } from "../harness/kata-configuration.ts";
import { test } from "../harness/workbench.ts";

const KATA_RUNTIME = join(BUILT_PROGRAMS, "kata-runtime");
const SLEEP = "echo started; while :; do sleep 1; done";

const kata = (...args: string[]) => runCommand(KATA_RUNTIME, args);

async function mustKata(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await kata(...args);
  expect({ status, stderr }, args.join(" ")).toEqual({ status: 0, stderr: "" });
  return stdout;
}

describe("kata-runtime on a sandbox", () => {
  test("shows it by ps, inspect, top, logs and metrics", async ({ bench }) => {
    const id = await bench.detach(SLEEP);
    expect(await mustKata("ps", "--no-trunc")).toMatch(
      new RegExp(`^${id} .* running +qemu +1 +256MiB +1/1 `, "m"),
    );
    const all = JSON.parse(await mustKata("ps", "--json")) as {
      id: string;
      state: string;
      containers: unknown[];
    }[];
    expect(all.find((pod) => pod.id === id)).toMatchObject({
      state: "running",
      containers: [{ id, state: "running" }],
    });
    expect((await mustKata("ps", "-q")).split("\n")).toContain(id);

    const [pod] = JSON.parse(await mustKata("inspect", id)) as [
      {
        files: { kernel: string };
        processes: { name: string; pid: number }[];
        containers: { args: string[] }[];
      },
    ];
    expect(pod.files.kernel).toMatch(/vmlinux$/);
    expect(pod.containers[0]?.args).toContain(SLEEP);
    for (const { pid } of pod.processes)
      expect(readFileSync(`/proc/${pid}/cmdline`).length).toBeGreaterThan(0);

    const rows = JSON.parse(await mustKata("top", "--json", id)) as {
      kind: string;
      memory: number;
      pids: number;
    }[];
    expect(rows.map(({ kind }) => kind)).toEqual(["sandbox", "container"]);
    for (const { memory, pids } of rows) {
      expect(memory).toBeGreaterThan(100_000);
      expect(pids).toBeGreaterThanOrEqual(1);
    }
    expect(await mustKata("top", id)).toMatch(/^SANDBOX +NAME +CPU +MEMORY +LIMIT +PROCESSES\n.*%.*MiB/);

    const lines = (await mustKata("logs", "--json", "--source", "shim", id)).trim().split("\n");
    const said = lines.map((line) => (JSON.parse(line) as { line: string }).line).join("\n");
    expect(said).toContain("sandbox is running");
    expect((await mustKata("logs", "--tail", "1", "--source", "shim", id)).trim().split("\n")).toHaveLength(
      1,
    );

    const metrics = await mustKata("metrics", id);
    for (const name of ["shim", "hypervisor", "agent"]) {
      expect(metrics).toMatch(new RegExp(`^kata_${name}_threads \\d+$`, "m"));
      expect(metrics).toMatch(new RegExp(`^kata_${name}_proc_status\\{item="vmrss"\\} \\d{6,}$`, "m"));
    }
    expect(metrics).toMatch(/^kata_guest_meminfo\{item="mem_total"\} \d{9}$/m);
    expect(metrics).toMatch(/^kata_shim_rpc_durations_histogram_milliseconds_count\{action="create"\} 1$/m);
    expect(metrics).toMatch(
      /^kata_shim_agent_rpc_durations_histogram_milliseconds_count\{action="grpc.CreateContainerRequest"\} 1$/m,
    );
    expect(metrics).toMatch(/^kata_shim_pod_overhead_memory_in_bytes \d{7,}$/m);
    const values = JSON.parse(await mustKata("metrics", "--json", id)) as { name: string }[];
    expect(values.length).toBeGreaterThan(100);
  });

  test("has no way into a guest without a debug console, and says what to do", async ({ bench }) => {
    const id = await bench.detach(SLEEP);
    const refused = await kata("exec", id, "--", "true");
    expect(refused).toMatchObject({ status: 125, stdout: "" });
    expect(refused.stderr).toMatch(/set debug_console_enabled = true/);
    expect((await kata("exec", "no-such-sandbox")).stderr).toMatch(/kata-runtime ps shows those that run/);
  });

  test("runs commands in its guest, and copies files there and back", async ({ bench }) => {
    const configuration = writeKataConfiguration(bench.scratch, "debug", await withDebugShell());
    const id = await bench.detach(SLEEP, ["--runtime-config-path", configuration]);
    const exec = (...command: string[]) => runCommand(KATA_RUNTIME, ["exec", id, "--", ...command]);
    // Its first process is the agent, and not a container's.
    expect(await exec("cat", "/proc/1/comm")).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^(init|kata-agent)\n$/),
    });
    expect(await exec("sh", "-c", "echo out; echo err >&2; exit 7")).toMatchObject({
      status: 7,
      stdout: "out\n",
      stderr: "err\n",
    });
    expect((await exec("no-such-program")).status).toBe(127);
    const shell = await runCommand("sh", ["-c", `echo 'echo from $0; exit 3' | ${KATA_RUNTIME} exec ${id}`]);
    expect(shell).toMatchObject({ status: 3, stdout: "from sh\n" });
    // kata-ctl's spelling.
    const ctl = await runCommand(join(BUILT_PROGRAMS, "kata-ctl"), ["exec", id, "--", "echo", "-p", "x"]);
    expect(ctl).toMatchObject({ status: 0, stdout: "-p x\n" });
    // With a terminal of its user's size; script(1) ends its own input with a NUL.
    const typed = `stty rows 33 columns 77; exec ${KATA_RUNTIME} exec ${id} -- sh -c 'stty size; tty'`;
    const terminal = await runCommand("script", ["--quiet", "--return", "--command", typed, "/dev/null"]);
    expect(terminal.stdout.replace("^@", "")).toMatch(/^33 77\r\n\/dev\/pts\/\d+\r\n$/);

    const tree = join(bench.scratch, "tree");
    mkdirSync(join(tree, "d"), { recursive: true });
    writeFileSync(join(tree, "d/file"), "x".repeat(100_000), { mode: 0o750 });
    symlinkSync("d/file", join(tree, "link"));
    await mustKata("cp", tree, `${id}:/run/copied`);
    expect((await exec("sh", "-c", "ls -l /run/copied/d/file; readlink /run/copied/link")).stdout).toMatch(
      /^-rwxr-x--- .* 100000 .*\nd\/file\n$/,
    );
    await mustKata("cp", `${id}:/run/copied`, join(bench.scratch, "back"));
    expect(readFileSync(join(bench.scratch, "back/d/file"), "utf8")).toBe("x".repeat(100_000));
    expect(readlinkSync(join(bench.scratch, "back/link"))).toBe("d/file");
    await mustKata("cp", `${id}:/bin/busybox`, bench.scratch);
    expect(readFileSync(join(bench.scratch, "busybox")).subarray(1, 4).toString()).toBe("ELF");
    expect((await kata("cp", `${id}:/no/such`, bench.scratch)).status).toBe(1);

    await exec("sh", "-c", "echo a line of the guest > /dev/console");
    const line = async () =>
      (await mustKata("logs", "--source", "guest", id)).includes("a line of the guest") || undefined;
    await eventually("the guest's line is in its log", 5000, line, () => "");
  });
});
