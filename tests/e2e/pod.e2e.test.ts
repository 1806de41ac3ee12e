import { readFileSync } from "node:fs";
import { describe, expect } from "vitest";
import { processesOf } from "../harness/instance-processes.ts";
import { subject } from "../harness/subject.ts";
import { test, type Workbench } from "../harness/workbench.ts";

const IDLE = "while :; do sleep 1; done";
const BOOT_ID = "cat /proc/sys/kernel/random/boot_id";

/** Annotations by which Kubernetes' container managers say what belongs together. */
function member(pod: string, type: "sandbox" | "container"): string[] {
  const prefix = "io.kubernetes.cri";
  return ["--annotation", `${prefix}.container-type=${type}`, "--annotation", `${prefix}.sandbox-id=${pod}`];
}

async function startPod(bench: Workbench): Promise<readonly [string, string, string]> {
  const pod = bench.newId();
  await bench.detach(IDLE, member(pod, "sandbox"), pod);
  const first = await bench.detach(IDLE, member(pod, "container"));
  const second = await bench.detach(IDLE, member(pod, "container"));
  return [pod, first, second];
}

function running(bench: Workbench, program: RegExp): number {
  return processesOf(bench.ctr.instance.tag).filter((entry) => program.test(entry.name)).length;
}

describe("three containers of one pod", () => {
  test("share one shim, one kernel and nothing else", async ({ bench }) => {
    const ids = await startPod(bench);
    expect(running(bench, /^containerd-shim/)).toBe(1);
    expect(running(bench, /^qemu-system/)).toBe(subject.virtualMachine ? 1 : 0);

    const boots = await Promise.all(ids.map((id) => bench.exec(id, BOOT_ID)));
    const [boot] = boots.map((result) => result.stdout.trim());
    expect(boots.map(({ status, stdout }) => ({ status, stdout }))).toEqual(
      ids.map(() => ({ status: 0, stdout: `${boot}\n` })),
    );
    const host = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    expect(boot === host).toBe(!subject.virtualMachine);

    // Each has files of its own and a process 1 of its own.
    for (const id of ids) expect((await bench.exec(id, `echo ${id} > /tmp/me`)).status).toBe(0);
    for (const id of ids) {
      expect(await bench.exec(id, "cat /tmp/me; ls /tmp; tr '\\0' ' ' < /proc/1/cmdline")).toMatchObject({
        status: 0,
        stdout: `${id}\nme\nsh -c ${IDLE} `,
      });
    }
  });

  test("end one by one; the pod lives until its last", async ({ bench }) => {
    const [pod, first, second] = await startPod(bench);
    await bench.ctr.remove(first);
    expect(await bench.exec(second, "exit 6")).toMatchObject({ status: 6 });
    const third = await bench.detach("exit 31", member(pod, "container"));
    await expect
      .poll(() => bench.ctr.taskState(third), { timeout: 30_000 })
      .toMatchObject({ state: "STOPPED" });
    expect(await bench.ctr.deleteTask(third)).toBe(31);
    expect(await bench.exec(pod, "exit 8")).toMatchObject({ status: 8 });
  });
});
