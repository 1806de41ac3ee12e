/** Helper programs of a sandbox on the real kernel. */
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { readTextFileIfExists } from "../../sys/files.ts";
import { assert, assertEqual, runTests, test } from "../../sys/testing/native-test.ts";
import { SupervisedProgram } from "./supervised-program.ts";

const DEADLINE_MS = 5000;

/** A shell that says who its child is, and waits for it. */
async function shellWithChild(script: string): Promise<{ program: SupervisedProgram; child: number }> {
  const lines: string[] = [];
  const program = await SupervisedProgram.start({
    name: "shell",
    configurationKey: "none",
    path: "/bin/sh",
    args: ["-c", `sh -c '${script}' & echo $!; wait`],
    inherited: [],
    environment: ["PATH=/bin:/usr/bin"],
    onOutput: (line) => void lines.push(line),
    clock: loop,
  });
  await until(() => lines.length > 0);
  return { program, child: Number(lines[0]) };
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = loop.now() + DEADLINE_MS;
  while (!holds() && loop.now() < deadline) await sleep(loop, 5);
  assert(holds(), "it has come true in time");
}

/** A zombie's children's parent may not have asked for its end yet. */
function isAlive(pid: number): boolean {
  const state = /^State:\s+(\w)/m.exec(readTextFileIfExists(`/proc/${pid}/status`) ?? "")?.[1];
  return state !== undefined && state !== "Z" && state !== "X";
}

test("a program that is killed takes its children with it, whatever signals they ignore", async () => {
  const { program, child } = await shellWithChild("trap : TERM HUP; while :; do sleep 1; done");
  assert(isAlive(child), "its child runs");
  program.kill();
  assertEqual(await program.exited, "shell was killed by signal 9");
  await until(() => !isAlive(child));
  // Nobody is left to be sent a signal.
  program.kill();
});

runTests();
