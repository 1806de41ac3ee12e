import { describe, expect } from "vitest";
import { test } from "../harness/workbench.ts";

/** Holds this much memory and burns CPU time for a while, then idles. */
const HELD_MIB = 32;
const WORK = `dd if=/dev/zero of=/dev/shm/held bs=1M count=${HELD_MIB} 2>/dev/null
i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done
echo ready; while :; do sleep 1; done`;

describe("ctr task metrics", () => {
  test("show the memory, CPU time and processes that the workload really uses", async ({ bench }) => {
    const id = bench.newId();
    await using live = bench.start(WORK, [], id);
    await live.until("the workload's start", (stdout) => stdout.includes("ready"));
    const first = await metrics(() => bench.ctr.must(["task", "metrics", "--format", "json", id]));
    expect(first.memoryBytes).toBeGreaterThan(HELD_MIB << 20);
    expect(first.memoryBytes).toBeLessThan(3 * (HELD_MIB << 20));
    expect(first.cpuNanoseconds).toBeGreaterThan(10e6);
    expect(first.cpuNanoseconds).toBeLessThan(120e9);
    expect(first.processes).toBeGreaterThanOrEqual(1);
    expect(first.processes).toBeLessThanOrEqual(3);
    await bench.exec(id, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; rm /dev/shm/held");
    const second = await metrics(() => bench.ctr.must(["task", "metrics", "--format", "json", id]));
    expect(second.cpuNanoseconds).toBeGreaterThan(first.cpuNanoseconds);
    expect(second.memoryBytes).toBeLessThan(first.memoryBytes - (HELD_MIB << 19));
    await bench.ctr.must(["task", "kill", "--signal", "SIGKILL", id]);
    expect((await live.exited()).status).toBe(137);
  });
});

interface Metrics {
  readonly memoryBytes: number;
  readonly cpuNanoseconds: number;
  readonly processes: number;
}

/** Reads either version of containerd's cgroup metrics. Source: containerd/cgroups, `Metrics` of v1 and v2. */
async function metrics(ask: () => Promise<string>): Promise<Metrics> {
  const answer = JSON.parse(await ask()) as {
    memory: { usage: number | { usage: number } };
    cpu: { usage_usec?: number; usage?: { total: number } };
    pids: { current: number };
  };
  const { usage } = answer.memory;
  return {
    memoryBytes: typeof usage === "number" ? usage : usage.usage,
    cpuNanoseconds: answer.cpu.usage?.total ?? (answer.cpu.usage_usec ?? 0) * 1000,
    processes: answer.pids.current,
  };
}
