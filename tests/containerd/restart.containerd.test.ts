import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { tasksClient } from "../../build/generated/tasks.ts";
import { GrpcCaller } from "../../src/monitor/grpc-caller.ts";
import { startContainerdOfSuite } from "../harness/containerd-of-suite.ts";
import { eventually } from "../harness/eventually.ts";
import { writeBusyboxRoot } from "../harness/images.ts";
import { processesOf } from "../harness/instance-processes.ts";
import { subject } from "../harness/subject.ts";
import { test, Workbench } from "../harness/workbench.ts";

/** An abandoned task is gone by then, ms. */
const CLEAN_DEADLINE_MS = 20_000;

/** A container of containerd's, without a task. */
async function makeContainer(bench: Workbench, script: string): Promise<string> {
  const { id } = bench.request([]);
  const root = join(bench.scratch, `root-${id}`);
  mkdirSync(root);
  await writeBusyboxRoot(root);
  const spec = JSON.parse(await bench.ctr.must(["oci", "spec"]));
  spec.root.path = root;
  spec.process = { ...spec.process, args: ["/bin/sh", "-c", script], env: ["PATH=/bin"], terminal: false };
  spec.linux.cgroupsPath = `/${bench.ctr.instance.tag}/${id}`;
  const config = join(bench.scratch, `${id}.json`);
  writeFileSync(config, JSON.stringify(spec));
  await bench.ctr.must(["containers", "create", "--runtime", subject.runtime, "--config", config, id]);
  return id;
}

/** containerd's task service for the length of a scope. */
function tasksOf({ socket, tag }: Workbench["ctr"]["instance"]) {
  const caller = new GrpcCaller(socket, { "containerd-namespace": tag });
  return { calls: tasksClient(caller), [Symbol.dispose]: () => caller[Symbol.dispose]() };
}

describe("a containerd that is restarted", () => {
  test("between Create and Start of a task goes on with it", async () => {
    await using instance = await startContainerdOfSuite();
    await using bench = await Workbench.on(instance.containerd.address, instance.image);
    const containerId = await makeContainer(bench, "echo done; exit 7");
    const output = join(bench.scratch, "output");
    let pid: number;
    {
      using tasks = tasksOf(bench.ctr.instance);
      ({ pid } = await tasks.calls.create({ containerId, stdout: `file://${output}` }));
    }
    await instance.containerd.restart();
    using tasks = tasksOf(bench.ctr.instance);
    expect(await bench.ctr.taskState(containerId)).toEqual({ pid, state: "CREATED" });
    // Its container is there, so a client that did not hear so cannot make a second one.
    await expect(tasks.calls.create({ containerId, stdout: `file://${output}` })).rejects.toThrow(
      /already exists/,
    );
    const ended = tasks.calls.wait({ containerId });
    expect(await tasks.calls.start({ containerId })).toEqual({ pid });
    const { exitStatus, exitedAt } = await ended;
    expect(exitStatus).toBe(7);
    expect(await tasks.calls.delete({ containerId })).toMatchObject({ exitStatus: 7, exitedAt });
    expect(readFileSync(output, "utf8")).toBe("done\n");
    await bench.expectClean();
  });

  test("while a task is being created leaves nothing of it, and it can be created again", async () => {
    await using instance = await startContainerdOfSuite();
    await using bench = await Workbench.on(instance.containerd.address, instance.image);
    const containerId = await makeContainer(bench, "exit 9");
    {
      using tasks = tasksOf(bench.ctr.instance);
      const creating = tasks.calls.create({ containerId }).catch((error: unknown) => error);
      const programs = () => processesOf(bench.ctr.instance.tag).map(({ name }) => name);
      await expect.poll(programs, { timeout: 20_000 }).toContainEqual(expect.stringMatching(/^qemu-system/));
      await instance.containerd.restart("SIGKILL");
      expect(await creating).toBeInstanceOf(Error);
    }
    using tasks = tasksOf(bench.ctr.instance);
    await expect.poll(() => bench.ctr.taskState(containerId), { timeout: CLEAN_DEADLINE_MS }).toBeUndefined();
    // 1.6 keeps the task until it has noticed that its shim has ended.
    await eventually("a second task", CLEAN_DEADLINE_MS, () =>
      tasks.calls.create({ containerId }).catch((error: unknown) => {
        if (error instanceof Error && /already exists/.test(error.message)) return undefined;
        throw error;
      }),
    );
    await tasks.calls.start({ containerId });
    expect(await tasks.calls.wait({ containerId })).toMatchObject({ exitStatus: 9 });
    await tasks.calls.delete({ containerId });
    await bench.expectClean();
  });
});
