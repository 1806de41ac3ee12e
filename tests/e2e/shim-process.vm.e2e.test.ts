import { join } from "node:path";
import { describe, expect } from "vitest";
import { runCommand } from "../harness/command.ts";
import { shimSocket } from "../harness/host-snapshot.ts";
import { processesOf } from "../harness/instance-processes.ts";
import { killProcess, type ProcessEntry, readProcess } from "../harness/processes.ts";
import { collectEvents } from "../harness/task-events.ts";
import { test, type Workbench } from "../harness/workbench.ts";

const IDLE = "while :; do sleep 1; done";

/** Connects and reads. */
const ASK = `my $s = IO::Socket::UNIX->new($ARGV[0]) or do { print $!{EACCES} ? "refused" : $!; exit };
print sysread($s, my $byte, 1) ? "open" : "closed"`;

function shimOf(bench: Workbench): ProcessEntry {
  const shims = processesOf(bench.ctr.instance.tag).filter(({ name }) => name.startsWith("containerd-shim"));
  const [shim] = shims;
  if (shim === undefined || shims.length > 1) throw new Error(`there are ${shims.length} shims`);
  return shim;
}

describe("the shim of a container", () => {
  test("leads a session of its own and is no child of containerd, so that it outlives it", async ({
    bench,
  }) => {
    await bench.detach(IDLE);
    const shim = shimOf(bench);
    const { stdout } = await runCommand("ps", ["-o", "sid=", "-p", String(shim.pid)]);
    expect(Number(stdout)).toBe(shim.pid);
    expect(readProcess(shim.parent)?.argv.join(" ")).not.toMatch(/containerd --config/);
  });

  test("told to end by SIGTERM, reports the exit and leaves a clean host", async ({ bench }) => {
    await using events = await collectEvents(bench.ctr);
    const id = await bench.detach(IDLE);
    killProcess(shimOf(bench), "SIGTERM");
    await events.until("the exit", (seen) =>
      seen.some(({ topic, event }) => topic === "/tasks/exit" && event.container_id === id),
    );
    const exit = events.seen.find(({ topic }) => topic === "/tasks/exit");
    expect(exit?.event).toMatchObject({ container_id: id, id, exit_status: 137 });
    // The shim ends while containerd may be asking it: that one answer is lost, and containerd cleans up after a dead shim.
    await expect
      .poll(
        async () => {
          await bench.ctr.remove(id);
          return await bench.ctr.taskState(id);
        },
        { timeout: 10_000 },
      )
      .toBeUndefined();
    await bench.expectClean();
  });

  test("talks to nobody but its own user", async ({ bench }) => {
    const id = await bench.detach(IDLE);
    const socket = shimSocket(bench.ctr.instance, id);
    const ask = ["perl", "-MIO::Socket::UNIX", "-e", ASK, socket];
    // Another user does not come as far as the socket's file; with the right to pass by that, the shim itself hangs up.
    const stranger = await runCommand("setpriv", ["--reuid=65534", "--clear-groups", ...ask]);
    expect(stranger).toMatchObject({ status: 0, stdout: "refused" });
    const capable = ["--reuid=65534", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"];
    const capableStranger = await runCommand("setpriv", [...capable, "--clear-groups", ...ask]);
    expect(capableStranger).toMatchObject({ status: 0, stdout: "closed" });
    expect(await bench.exec(id, "exit 3")).toMatchObject({ status: 3 });
  });

  test("writes its address, pid and log into the bundle", async ({ bench }) => {
    const id = await bench.detach(IDLE);
    const { directory, tag } = bench.ctr.instance;
    const bundle = join(directory, "state/io.containerd.runtime.v2.task", tag, id);
    const { stdout } = await runCommand("cat", [join(bundle, "address"), join(bundle, "shim.pid")]);
    expect(stdout).toBe(`unix://${shimSocket(bench.ctr.instance, id)}${shimOf(bench).pid}`);
  });
});
