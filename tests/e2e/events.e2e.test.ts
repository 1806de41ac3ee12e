import { describe, expect } from "vitest";
import { collectEvents } from "../harness/task-events.ts";
import { test } from "../harness/workbench.ts";

describe("containerd's events of a container", () => {
  test("come in the order of its life, each with its details", async ({ bench }) => {
    const id = bench.newId();
    const execId = bench.newId();
    await using events = await collectEvents(bench.ctr);
    await using live = bench.start("echo ready; read -r wait; exit 42", [], id);
    await live.until("the workload's start", (stdout) => stdout === "ready\n");
    const executed = await bench.ctr.call(bench.ctr.execArguments(id, execId, [], ["sh", "-c", "exit 3"]));
    expect(executed.status).toBe(3);
    await bench.ctr.must(["task", "pause", id]);
    await bench.ctr.must(["task", "resume", id]);
    live.write("\n");
    expect((await live.exited()).status).toBe(42);
    await events.until("the last one", (seen) => seen.some(({ topic }) => topic === "/containers/delete"));

    const tasks = events.seen.filter(({ topic }) => topic.startsWith("/tasks/"));
    expect(tasks.map(({ topic }) => topic)).toEqual([
      "/tasks/create",
      "/tasks/start",
      "/tasks/exec-added",
      "/tasks/exec-started",
      "/tasks/exit",
      "/tasks/paused",
      "/tasks/resumed",
      "/tasks/exit",
      "/tasks/delete",
    ]);
    const [created, started, added, execStarted, execExit, paused, resumed, exit, deleted] = tasks.map(
      ({ event }) => event,
    );
    const pid = created?.pid;
    expect(pid).toBeGreaterThan(1);
    expect(created).toMatchObject({ container_id: id, bundle: expect.stringContaining(id) });
    expect(started).toMatchObject({ container_id: id, pid });
    expect(added).toMatchObject({ container_id: id, exec_id: execId });
    expect(execStarted).toMatchObject({ container_id: id, exec_id: execId });
    expect(execExit).toMatchObject({ container_id: id, id: execId, exit_status: 3 });
    expect(paused).toMatchObject({ container_id: id });
    expect(resumed).toMatchObject({ container_id: id });
    expect(exit).toMatchObject({ container_id: id, id, pid, exit_status: 42 });
    expect(deleted).toMatchObject({ container_id: id, pid, exit_status: 42 });
    expect(deleted?.exited_at).toEqual(exit?.exited_at);
  });
});
