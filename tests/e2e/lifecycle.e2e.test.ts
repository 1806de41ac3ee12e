import { describe, expect } from "vitest";
import { busyboxImage, importImage } from "../harness/images.ts";
import { startKataContainerd } from "../harness/kata-containerd.ts";
import { listProcesses } from "../harness/processes.ts";
import { subject } from "../harness/subject.ts";
import { test } from "../harness/workbench.ts";

const TICKING = "while :; do echo tick; sleep 0.1; done";

/** What was on its way when the container was paused has arrived by then, ms. */
const IN_FLIGHT_MS = 500;
const PAUSE_OBSERVED_MS = 1500;

describe("a detached container", () => {
  test("outlives the client that started it, until it is killed and deleted", async ({ bench }) => {
    const id = await bench.detach("echo $$ > /tmp/pid; while :; do sleep 1; done");
    // ctr has ended; everything from here on are other clients.
    expect(await bench.ctr.taskState(id)).toMatchObject({ state: "RUNNING" });
    expect(await bench.exec(id, "cat /tmp/pid")).toMatchObject({ status: 0, stdout: "1\n" });
    await bench.ctr.must(["task", "kill", "--signal", "SIGKILL", id]);
    await expect.poll(() => bench.ctr.taskState(id), { timeout: 10_000 }).toMatchObject({ state: "STOPPED" });
    expect(await bench.ctr.deleteTask(id)).toBe(137);
    expect(await bench.ctr.taskState(id)).toBeUndefined();
    await bench.ctr.must(["containers", "delete", id]);
    await bench.expectClean();
  });

  test("keeps its exit status for whoever asks later", async ({ bench }) => {
    const id = await bench.detach("exit 17");
    await expect.poll(() => bench.ctr.taskState(id), { timeout: 10_000 }).toMatchObject({ state: "STOPPED" });
    expect(await bench.ctr.deleteTask(id)).toBe(17);
  });

  test("is not deleted while it runs, and lives on", async ({ bench }) => {
    const id = await bench.detach("while :; do sleep 1; done");
    const refused = await bench.ctr.call(["task", "delete", id]);
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toMatch(/running|stopped/);
    expect(await bench.exec(id, "exit 4")).toMatchObject({ status: 4 });
  });

  test("has a process that the host can see", async ({ bench }) => {
    const id = await bench.detach("while :; do sleep 1; done");
    const state = await bench.ctr.taskState(id);
    expect(listProcesses().map((entry) => entry.pid)).toContain(state?.pid);
    const listed = await bench.ctr.must(["task", "ps", id]);
    const pids = listed.split("\n").flatMap((line) => /^\s*(\d+)\b/.exec(line)?.[1] ?? []);
    // The loop, and the sleep that it may be in; in a virtual machine they have the guest's numbers.
    expect([1, 2]).toContain(pids.length);
    if (!subject.virtualMachine) expect(pids).toContain(`${state?.pid}`);
  });
});

describe("ctr task pause", () => {
  test("stops all progress until resume", async ({ bench }) => {
    const id = bench.newId();
    await using live = bench.start(TICKING, [], id);
    await live.until("first ticks", (stdout) => ticks(stdout) >= 3);
    await bench.ctr.must(["task", "pause", id]);
    expect(await bench.ctr.taskState(id)).toMatchObject({ state: "PAUSED" });
    await pass(IN_FLIGHT_MS);
    const frozen = ticks(live.stdout);
    await pass(PAUSE_OBSERVED_MS);
    expect(ticks(live.stdout)).toBe(frozen);
    await bench.ctr.must(["task", "resume", id]);
    expect(await bench.ctr.taskState(id)).toMatchObject({ state: "RUNNING" });
    await live.until("further ticks", (stdout) => ticks(stdout) >= frozen + 3);
    await bench.ctr.must(["task", "kill", "--signal", "SIGKILL", id]);
    expect(await live.exited()).toMatchObject({ status: 137 });
  });

  test("refuses a container that has stopped", async ({ bench }) => {
    const id = await bench.detach("exit 0");
    await expect.poll(() => bench.ctr.taskState(id), { timeout: 10_000 }).toMatchObject({ state: "STOPPED" });
    const refused = await bench.ctr.call(["task", "pause", id]);
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).not.toBe("");
  });
});

describe("a restarted containerd", () => {
  test("finds its running containers again", async () => {
    await using containerd = await startKataContainerd();
    const image = await busyboxImage();
    await importImage(containerd.ctr, image);
    const id = `${containerd.address.tag}-0`;
    const command = ["sh", "-c", "echo $$ > /tmp/pid; while :; do sleep 1; done"];
    await containerd.ctr.runDetached({ id, image: image.name, runtime: subject.runtime, command });
    const before = await containerd.ctr.taskState(id);
    await containerd.restart();
    expect(await containerd.ctr.taskState(id)).toEqual(before);
    const read = await containerd.ctr.call(containerd.ctr.execArguments(id, "x", [], ["cat", "/tmp/pid"]));
    expect(read).toMatchObject({ status: 0, stdout: "1\n" });
  });
});

function ticks(stdout: string): number {
  return stdout.split("tick\n").length - 1;
}

/** The observation itself is a span of time: what must not happen in it has no event to wait for. */
function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
