/**
 * `kill -9` of each process that takes part in a container, in turn, at a random moment from its first sign to the container's end.
 *
 * `KATA_FAULT_ROUNDS` sets the number of rounds, `KATA_FAULT_SEED` repeats a run.
 */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, inject } from "vitest";
import type { LiveCommand } from "../harness/command.ts";
import { Ctr } from "../harness/ctr.ts";
import { eventually } from "../harness/eventually.ts";
import { shimSocket } from "../harness/host-snapshot.ts";
import { processesOf } from "../harness/instance-processes.ts";
import type { InstanceAddress } from "../harness/private-containerd.ts";
import { killProcess, type ProcessEntry, readProcess } from "../harness/processes.ts";
import { subject } from "../harness/subject.ts";
import { collectEvents, type TaskEvent } from "../harness/task-events.ts";
import { test } from "../harness/workbench.ts";
import { seededRandom } from "./seeded-random.ts";

type Victim = "ctr" | "shim" | "qemu" | "virtiofsd";

const ROUNDS = Number(process.env.KATA_FAULT_ROUNDS ?? 50);
const SEED = Number(process.env.KATA_FAULT_SEED ?? Math.floor(Math.random() * 2 ** 32));

const VICTIMS: readonly Victim[] = subject.virtualMachine
  ? ["ctr", "shim", "qemu", "virtiofsd"]
  : ["ctr", "shim"];

const PROGRAMS: Readonly<Record<Exclude<Victim, "ctr">, RegExp>> = {
  shim: /^containerd-shim/,
  qemu: /^qemu-system/,
  virtiofsd: /^virtiofsd/,
};

/** What the workload prints, if nothing happens to it. */
const OUTPUT = "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n";

/** Lives long enough that most moments fall into its life, short enough that its end is hit too. */
const WORKLOAD = ["sh", "-c", "i=0; while [ $i -lt 10 ]; do echo $i; sleep 0.1; i=$((i+1)); done"];

/** By then containerd must have told of the death, ms. */
const REPORT_DEADLINE_MS = 15_000;

/** How long an undisturbed run takes, ms; measured first. */
let undisturbedMs = 0;

beforeAll(async () => {
  const instance = inject("instance");
  const ctr = new Ctr(instance);
  const { runtime } = subject;
  const id = `${instance.tag}-measure`;
  const result = await ctr.runContainer({ id, image: inject("busybox"), runtime, command: WORKLOAD });
  expect(result).toMatchObject({ status: 0, stdout: OUTPUT, stderr: "" });
  undisturbedMs = result.ms;
});

describe(`kill -9 (KATA_FAULT_SEED=${SEED})`, () => {
  const random = seededRandom(SEED);
  for (let round = 1; round <= ROUNDS; round++) {
    const victim = VICTIMS[round % VICTIMS.length] ?? "ctr";
    const moment = random();
    const when = `${Math.round(moment * 100)} % of its time`;
    test(`round ${round}: of ${victim} at ${when} is reported and leaves a clean host`, async ({ bench }) => {
      const request = bench.request(WORKLOAD);
      const { id } = request;
      await using events = await collectEvents(bench.ctr);
      await using live = bench.ctr.startContainer(request);
      const started = performance.now();

      const entry = await firstSign(victim, live, bench.ctr.instance.tag);
      const left = Math.max(0, undisturbedMs - (performance.now() - started));
      await new Promise((resolve) => setTimeout(resolve, moment * left));
      if (entry !== undefined) killProcess(entry, "SIGKILL");

      // Unless it is the victim itself, the client learns of it without anyone's help.
      const { status, stdout } = await live.exited(undisturbedMs + REPORT_DEADLINE_MS);
      expect(OUTPUT.startsWith(stdout), stdout).toBe(true);
      // Nobody is told of a success that was none.
      if (status === 0) expect(stdout).toBe(OUTPUT);
      if (victim === "ctr") await bench.ctr.remove(id);
      if (of(id, events.seen, "/tasks/start")) {
        await events.until("exit event", (seen) => of(id, seen, "/tasks/exit"), REPORT_DEADLINE_MS);
      }
      await bench.ctr.remove(id);
      expect(await bench.ctr.taskState(id)).toBeUndefined();
      removeWhatOthersLeave(bench.ctr.instance, victim, id);
      await bench.expectClean();
    });
  }

  test("afterwards containerd still runs containers", async ({ bench }) => {
    expect(await bench.run("echo fine; exit 5")).toMatchObject({ status: 5, stdout: "fine\n" });
  });
});

/** The victim, as soon as it can be seen; undefined if the run ended before. */
function firstSign(victim: Victim, live: LiveCommand, tag: string): Promise<ProcessEntry | undefined> {
  if (victim === "ctr") return Promise.resolve(readProcess(live.pid));
  return eventually(`first sign of ${victim}`, undisturbedMs + REPORT_DEADLINE_MS, () => {
    const found = processesOf(tag).find((entry) => PROGRAMS[victim].test(entry.name) && entry.state !== "Z");
    return found === undefined && live.running ? undefined : { found };
  }).then(({ found }) => found);
}

/** Left-overs that are not the runtime's under test: pipes of a client that failed, and what the reference itself forgets. */
function removeWhatOthersLeave(instance: InstanceAddress, victim: Victim, id: string): void {
  const fifos = join(instance.directory, "fifo");
  for (const name of readdirSync(fifos)) rmSync(join(fifos, name), { recursive: true });
  // containerd's own shim for runc leaves its socket behind if it is killed.
  if (!subject.virtualMachine && victim === "shim") rmSync(shimSocket(instance, id), { force: true });
}

function of(id: string, seen: readonly TaskEvent[], wanted: string): boolean {
  return seen.some(
    ({ topic, event }) => topic === wanted && event.container_id === id && (event.id ?? id) === id,
  );
}
