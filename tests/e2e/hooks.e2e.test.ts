import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { writeBusyboxRoot } from "../harness/images.ts";
import { subject } from "../harness/subject.ts";
import { test, type Workbench } from "../harness/workbench.ts";

type Hooks = Readonly<Record<string, readonly object[]>>;

/** Runs a shell script in a container with hooks, which no flag of ctr gives: by a specification of its own. */
async function runWithHooks(bench: Workbench, script: string, hooks: Hooks) {
  const { id, runtime } = bench.request([]);
  const root = join(bench.scratch, `root-${id}`);
  mkdirSync(root);
  await writeBusyboxRoot(root);
  const spec = JSON.parse(await bench.ctr.must(["oci", "spec"]));
  spec.root.path = root;
  spec.process.args = ["/bin/sh", "-c", script];
  spec.process.env = ["PATH=/bin"];
  spec.process.terminal = false;
  spec.linux.cgroupsPath = `/${bench.ctr.instance.tag}/${id}`;
  spec.annotations = { "org.example.mark": id };
  spec.hooks = hooks;
  const config = join(bench.scratch, `${id}.json`);
  writeFileSync(config, JSON.stringify(spec));
  return { id, result: await bench.ctr.runFromSpec(id, runtime, config) };
}

/** A hook that adds its name and the state on its stdin to a file, as a line. */
function noting(file: string, name: string) {
  return { path: "/bin/sh", args: ["sh", "-c", `echo "${name} $(cat)" >> ${file}`] };
}

function notesIn(file: string): { name: string; state: Record<string, unknown> }[] {
  return readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [name = "", ...json] = line.split(" ");
      return { name, state: JSON.parse(json.join(" ")) };
    });
}

/** Source: OCI runtime specification, "POSIX-platform Hooks" and "State". */
describe("hooks of the host", () => {
  test("run at their points, in their order, with the container's state", async ({ bench }) => {
    const file = join(bench.scratch, "notes");
    const { id, result } = await runWithHooks(bench, "sleep 1; exit 5", {
      prestart: [noting(file, "prestart")],
      createRuntime: [noting(file, "first"), noting(file, "second")],
      poststart: [noting(file, "poststart")],
      poststop: [noting(file, "poststop")],
    });
    expect(result).toMatchObject({ status: 5, stderr: "" });
    const notes = notesIn(file);
    expect(notes.map(({ name, state }) => [name, state.status])).toEqual([
      ["prestart", "creating"],
      ["first", "creating"],
      ["second", "creating"],
      // runc 1.1 is a little behind.
      ["poststart", subject.virtualMachine ? "running" : "created"],
      ["poststop", "stopped"],
    ]);
    for (const { state } of notes) {
      expect(state).toMatchObject({
        ociVersion: expect.stringMatching(/^1\./),
        id,
        bundle: expect.stringContaining(id),
        annotations: { "org.example.mark": id },
      });
    }
    const pids = notes.slice(0, 4).map(({ state }) => state.pid);
    expect(new Set(pids).size).toBe(1);
    expect(pids[0]).toBeGreaterThan(1);
  });

  test("undo the container if one fails, and tell why", async ({ bench }) => {
    const file = join(bench.scratch, "notes");
    const failing = { path: "/bin/sh", args: ["sh", "-c", "echo no such network >&2; exit 4"] };
    const { id, result } = await runWithHooks(bench, "echo started", {
      createRuntime: [failing, noting(file, "never")],
      poststop: [noting(file, "poststop")],
    });
    expect(result.status).not.toBe(0);
    expect(result.stdout).toBe("");
    expect(result.stderr).toMatch(/no such network/);
    expect(await bench.ctr.taskState(id)).toBeUndefined();
    expect(notesIn(file).map(({ name }) => name)).toEqual(["poststop"]);
    await bench.ctr.remove(id);
    await bench.expectClean();
  });
});
