import { expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import { FakeSandbox } from "../testing/fake-sandbox.ts";
import { CALL, podAnnotations, ShimBench } from "../testing/shim-bench.ts";

const INIT = { id: "c", execId: "" };
const refusedWith = (code: string) => expect.objectContaining({ code });

test("containers of a pod share its sandbox, which lives until the last is deleted", async () => {
  const shim = new ShimBench();
  await shim.run("p", podAnnotations("sandbox", "p"));
  await shim.run("m", podAnnotations("container", "p"));
  expect(shim.sandboxes).toHaveLength(1);
  for (const id of ["p", "m"]) {
    shim.sandbox.exit(id, 0);
    await shim.task.wait({ id, execId: "" }, CALL);
    expect(shim.sandbox.asked).not.toContain("stop");
    await shim.task.delete({ id, execId: "" }, CALL);
    await shim.task.shutdown({ id, now: false }, CALL);
  }
  await shim.pod.ended;
  expect(shim.sandbox.asked.at(-1)).toBe("stop");
});

test("a member of another pod, or of one that was not started, is refused", async () => {
  const shim = new ShimBench();
  await expect(shim.create("m", podAnnotations("container", "p"))).rejects.toEqual(
    refusedWith("failed-precondition"),
  );
  await shim.run("p", podAnnotations("sandbox", "p"));
  await expect(shim.create("m", podAnnotations("container", "other"))).rejects.toEqual(
    refusedWith("failed-precondition"),
  );
  await expect(shim.create("p", podAnnotations("sandbox", "p"))).rejects.toEqual(
    refusedWith("already-exists"),
  );
});

test("a shim has one sandbox", async () => {
  const shim = new ShimBench();
  await shim.run("c");
  await expect(shim.create("d")).rejects.toEqual(refusedWith("already-exists"));
});

test("a creation that fails in the guest leaves nothing", async () => {
  const shim = new ShimBench();
  const failure = new KataError("not-found", { operation: "run program", object: "/no/such/program" });
  shim.boot = async ({ id }) => {
    const sandbox = new FakeSandbox(id);
    sandbox.failures.set("create", failure);
    return sandbox;
  };
  await expect(shim.create("c")).rejects.toBe(failure);
  expect(shim.sandbox.asked).toEqual(["create c", "stop"]);
  expect(shim.streams).toEqual(["c/ open", "c/ close"]);
  expect(shim.claims).toEqual(new Set());
  expect(shim.events).toEqual([]);
  await expect(shim.task.delete(INIT, CALL)).rejects.toEqual(refusedWith("not-found"));
  await shim.task.shutdown({ id: "c", now: false }, CALL);
  await shim.pod.ended;
});

test.each([
  ["its connection ends", (_shim: ShimBench, caller: CancelSource) => caller.cancel()],
  [
    "the container is deleted meanwhile",
    async (shim: ShimBench) => {
      await expect(shim.task.delete(INIT, CALL)).rejects.toEqual(refusedWith("not-found"));
    },
  ],
])("a creation whose boot is under way is given up when %s", async (_when, giveUp) => {
  const shim = new ShimBench();
  const caller = new CancelSource();
  shim.boot = ({ signal }) =>
    new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  const creating = shim.create("c", {}, { ...CALL, signal: caller.signal });
  creating.catch(() => undefined);
  await shim.settle();
  await giveUp(shim, caller);
  await expect(creating).rejects.toEqual(refusedWith("cancelled"));
  expect(shim.claims).toEqual(new Set());
  expect(shim.pod.isInUse).toBe(false);
});

test("a container that was never started can be killed and is told of", async () => {
  const shim = new ShimBench();
  await shim.create("c");
  const waiting = shim.task.wait(INIT, CALL);
  await shim.task.kill({ ...INIT, signal: 9, all: true }, CALL);
  expect(shim.sandbox.asked.at(-1)).toBe("signal c/ 9 all");
  expect(await waiting).toMatchObject({ exitStatus: 137 });
  expect(shim.topics).toEqual(["/tasks/create", "/tasks/exit"]);
});

test("a container whose start failed is created still, and can be killed although the guest has lost it", async () => {
  const shim = new ShimBench();
  await shim.create("c");
  const failure = new KataError("not-found", { operation: "run program", object: "/no/such/program" });
  shim.sandbox.failures.set("start", failure);
  shim.sandbox.failures.set("signal", new KataError("not-found", { operation: "signal", object: "c" }));
  await expect(shim.task.start(INIT, CALL)).rejects.toBe(failure);
  expect(await shim.task.state(INIT, CALL)).toMatchObject({ status: 1 });
  await shim.task.kill({ ...INIT, signal: 9, all: true }, CALL);
  expect(await shim.task.delete(INIT, CALL)).toMatchObject({ exitStatus: 137 });
});
