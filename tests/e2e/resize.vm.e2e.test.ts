import { describe, expect } from "vitest";
import { eventually } from "../harness/eventually.ts";
import { TaskClient } from "../harness/task-client.ts";
import { test } from "../harness/workbench.ts";

const MEBIBYTE = 1 << 20;
/** ctr's containers do not see their cgroup otherwise. */
const CGROUPS = "type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro:nosuid:noexec:nodev";
const IDLE = "while :; do sleep 1; done";

describe("the virtual machine of a container", () => {
  test("follows Update up and down, and lists its own processes", async ({ bench }) => {
    const flags = ["--memory-limit", `${64 * MEBIBYTE}`, "--mount", CGROUPS];
    const id = await bench.detach(IDLE, flags);
    using task = await TaskClient.to(bench.ctr.instance, id);
    const read = async (script: string) => (await bench.exec(id, script)).stdout.trim();
    const memoryMib = async () =>
      Number(await read("sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) / 1024;

    const before = await memoryMib();
    expect(await read("cat /sys/devices/system/cpu/online")).toBe("0");
    await task.update({ cpu: { quota: 50_000, period: 100_000 }, memory: { limit: 300 * MEBIBYTE } });
    expect(await read("cat /sys/devices/system/cpu/online")).toBe("0-1");
    expect(await read("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max")).toBe(
      `${300 * MEBIBYTE}\n50000 100000`,
    );
    expect((await memoryMib()) - before).toBeGreaterThan(200);

    // A limit that is refused changes nothing.
    await expect(task.update({ memory: { limit: 65_536, checkBeforeUpdate: true } })).rejects.toThrow();
    expect(await read("cat /sys/fs/cgroup/memory.max")).toBe(`${300 * MEBIBYTE}`);

    await task.update({ memory: { limit: 64 * MEBIBYTE } });
    await eventually("the memory has gone", 30_000, async () =>
      (await memoryMib()) < before + 32 ? true : undefined,
    );

    const pids = await task.pids();
    const { pid: machine } = (await bench.ctr.taskState(id)) ?? { pid: 0 };
    // Its shell, and what that sleeps with.
    expect(pids.length).toBe(2);
    expect(pids).not.toContain(machine);
  });
});
