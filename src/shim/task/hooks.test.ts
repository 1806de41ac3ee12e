import { describe, expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import type { Hooks } from "../../oci/types.ts";
import { CALL, ShimBench } from "../testing/shim-bench.ts";

const INIT = { id: "c", execId: "" };
const HOOKS: Hooks = {
  prestart: [{ path: "/h/pre" }],
  createRuntime: [{ path: "/h/runtime-1" }, { path: "/h/runtime-2" }],
  createContainer: [{ path: "/h/container" }],
  startContainer: [{ path: "/in/container" }],
  poststart: [{ path: "/h/started" }],
  poststop: [{ path: "/h/stop-1" }, { path: "/h/stop-2" }],
};
const refusedWith = (code: string) => expect.objectContaining({ code });
const failure = new KataError("aborted", { operation: "run hook", object: "/h" });

describe("the host's hooks of a container", () => {
  test("run in the order of its life, between what they belong between", async () => {
    const shim = new ShimBench();
    const asked = () => (shim.sandboxes.length === 0 ? [] : [...shim.sandbox.asked]);
    await shim.create("c", {}, CALL, HOOKS);
    expect(shim.hooks).toEqual([
      "prestart /h/pre c 4711",
      "createRuntime /h/runtime-1,/h/runtime-2 c 4711",
      "createContainer /h/container c 4711",
    ]);
    expect(asked()).toEqual(["create c"]);
    expect(shim.owedHooks).toEqual(new Set(["/bundles/c"]));
    await shim.task.start(INIT, CALL);
    expect(shim.hooks.slice(3)).toEqual(["poststart /h/started c 4711"]);
    shim.sandbox.exit("c", 0);
    await shim.task.wait(INIT, CALL);
    await shim.task.delete(INIT, CALL);
    expect(shim.hooks.slice(4)).toEqual(["poststop /h/stop-1 c undefined", "poststop /h/stop-2 c undefined"]);
    expect(asked().slice(0, 3)).toEqual(["create c", "start c", "end c"]);
    expect(shim.owedHooks).toEqual(new Set());
  });

  test.each(["prestart", "createRuntime", "createContainer"])(
    "undo its creation if one of %s fails, and those for the end run",
    async (point) => {
      const shim = new ShimBench();
      shim.hookFailures.set(point, failure);
      await expect(shim.create("c", {}, CALL, HOOKS)).rejects.toEqual(refusedWith("aborted"));
      expect(shim.sandbox.asked).toEqual(["stop"]);
      expect(shim.hooks.slice(-3)).toEqual([
        expect.stringMatching(new RegExp(`^${point} `)),
        "poststop /h/stop-1 c undefined",
        "poststop /h/stop-2 c undefined",
      ]);
      expect(shim.events).toEqual([]);
      expect(shim.owedHooks).toEqual(new Set());
    },
  );

  test("end it if one after its start fails", async () => {
    const shim = new ShimBench();
    shim.hookFailures.set("poststart", failure);
    await shim.create("c", {}, CALL, HOOKS);
    await expect(shim.task.start(INIT, CALL)).rejects.toEqual(refusedWith("aborted"));
    expect(shim.sandbox.asked).toEqual(["create c", "start c", "signal c/ 9 all"]);
    expect(shim.topics).toEqual(["/tasks/create"]);
    expect(await shim.task.delete(INIT, CALL)).toMatchObject({ exitStatus: 137 });
    expect(shim.hooks.at(-1)).toBe("poststop /h/stop-2 c undefined");
  });

  test("do not hold up its end if one of those for it fails", async () => {
    const shim = new ShimBench();
    await shim.create("c", {}, CALL, HOOKS);
    shim.hookFailures.set("poststop", failure);
    expect(await shim.task.delete(INIT, CALL)).toMatchObject({ exitStatus: 137 });
    expect(shim.hooks.slice(-2)).toEqual([
      "poststop /h/stop-1 c undefined",
      "poststop /h/stop-2 c undefined",
    ]);
    expect(shim.topics).toEqual(["/tasks/create", "/tasks/delete"]);
  });

  test("are refused before anything is started if one cannot be run", async () => {
    const shim = new ShimBench();
    const hooks = { createRuntime: [{ path: "relative" }] };
    await expect(shim.create("c", {}, CALL, hooks)).rejects.toEqual(refusedWith("invalid-argument"));
    expect(shim.sandboxes).toEqual([]);
  });

  test("are none for a container that has hooks of its own alone", async () => {
    const shim = new ShimBench();
    await shim.create("c", {}, CALL, { startContainer: [{ path: "/in/container" }] });
    await shim.task.delete(INIT, CALL);
    expect(shim.hooks).toEqual([]);
    expect(shim.owedHooks).toEqual(new Set());
  });
});
