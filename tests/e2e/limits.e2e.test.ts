import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { writeBusyboxRoot } from "../harness/images.ts";
import { collectEvents } from "../harness/task-events.ts";
import { test, type Workbench } from "../harness/workbench.ts";

const MEBIBYTE = 1 << 20;

/**
 * Burns CPU for three seconds of wall time, then prints how many hundredths of a second of CPU time it got in them, and of wall
 * time. What the shell took to start does not count.
 */
const BURN = `
now() { read -r up idle < /proc/uptime; t=\${up%.*}\${up#*.}; }
used() { read -r line < /proc/self/stat; set -- $line; u=$((\${14}+\${15})); }
used; before=$u; now; start=$t; end=$((t+300)); n=0
while [ $t -lt $end ]; do n=$((n+1)); now; done
used; echo $((u-before)) $((t-start))`;

describe("a limit holds in the container", () => {
  test("on memory: what exceeds it is killed, reported, and the rest lives on", async ({ bench }) => {
    const id = bench.newId();
    await using events = await collectEvents(bench.ctr);
    const allocate = (mebibytes: number) =>
      `dd if=/dev/zero of=/dev/null bs=${mebibytes}M count=1 2>/dev/null; echo $?`;
    const flags = ["--memory-limit", `${64 * MEBIBYTE}`];
    await using live = bench.start(`${allocate(32)}; ${allocate(200)}; read -r wait`, flags, id);
    await live.until("both allocations", (stdout) => stdout === "0\n137\n");
    await events.until("an event of it", (seen) =>
      seen.some(({ topic, event }) => topic === "/tasks/oom" && event.container_id === id),
    );
    live.write("\n");
    expect((await live.exited()).status).toBe(0);
  });

  test("on CPU: half a CPU gives half the time", async ({ bench }) => {
    const result = await bench.run(BURN, ["--cpus", "0.5"]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    const [used = 0, wall = 0] = result.stdout.trim().split(" ").map(Number);
    expect(wall).toBeGreaterThanOrEqual(300);
    expect(used / wall).toBeGreaterThan(0.1);
    expect(used / wall).toBeLessThan(0.62);
  });

  test("on processes: what exceeds it is refused", async ({ bench }) => {
    const spawn = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 60 & done; echo spawned";
    const few = await runWithPidsLimit(bench, 8, spawn);
    expect(few.status).not.toBe(0);
    expect(few.stdout).toBe("");
    expect(few.stderr).toMatch(/can't fork: Resource temporarily unavailable/);
    const enough = await runWithPidsLimit(bench, 40, spawn);
    expect(enough).toMatchObject({ status: 0, stdout: "spawned\n", stderr: "" });
  });
});

/** ctr has no flag for this limit: the whole specification is given, with a root directory instead of an image. */
async function runWithPidsLimit(bench: Workbench, limit: number, script: string) {
  const root = join(bench.scratch, `root-${limit}`);
  mkdirSync(root);
  await writeBusyboxRoot(root);
  const spec = JSON.parse(await bench.ctr.must(["oci", "spec"]));
  const { id, runtime } = bench.request([]);
  spec.root.path = root;
  spec.process.args = ["/bin/sh", "-c", script];
  spec.process.env = ["PATH=/bin"];
  spec.process.terminal = false;
  spec.linux.cgroupsPath = `/${bench.ctr.instance.tag}/${id}`;
  spec.linux.resources = { ...spec.linux.resources, pids: { limit } };
  const config = join(bench.scratch, `${id}.json`);
  writeFileSync(config, JSON.stringify(spec));
  return await bench.ctr.runFromSpec(id, runtime, config);
}
