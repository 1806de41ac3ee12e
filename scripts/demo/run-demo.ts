/**
 * `npm run demo`: from nothing to a real container in a virtual machine of its own, and what one does with it.
 *
 *   npm run demo                                            the whole of it
 *   npm run demo -- --runtime io.containerd.runc.v2         another runtime in the untrusted part, without building ours
 *
 * All it starts belongs to a containerd of its own, which ends with it, also on Ctrl-C.
 */
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { removeAbandonedInstances } from "../../tests/harness/abandoned-containerd.ts";
import { mustRun } from "../../tests/harness/command.ts";
import { busyboxImage, debianImage } from "../../tests/harness/images.ts";
import { processesOf } from "../../tests/harness/instance-processes.ts";
import { startKataContainerd } from "../../tests/harness/kata-containerd.ts";
import { INSTANCE_PREFIX, type PrivateContainerd } from "../../tests/harness/private-containerd.ts";
import { KATA_RUNTIME } from "../../tests/harness/subject.ts";
import { CHAPTERS } from "./chapters.ts";
import { duration, type Narrator, narrateOn } from "./narrator.ts";
import { must, Stage } from "./stage.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** The engine and the guest are built once, from source packages, ms. */
const BUILD_DEADLINE_MS = 1_800_000;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { runtime: { type: "string", default: KATA_RUNTIME } } });
  if (process.getuid?.() !== 0) throw new Error("demo: run it as root: containers need it");
  const narrator = narrateOn(process.stdout);
  const started = performance.now();
  narrator.say("Kata Containers: containers that are isolated like virtual machines.");

  narrator.chapter("Set-up");
  const swept = await removeAbandonedInstances(INSTANCE_PREFIX);
  if (swept.length > 0) narrator.say(`Removed what a killed run had left: ${swept.join(", ")}`);
  if (values.runtime === KATA_RUNTIME) {
    await timed(narrator, "shim, runtime and agent built in", () => npmRun("build"));
    await timed(narrator, "guest kernel and image built in", () => npmRun("image"));
  }
  const images = await timed(narrator, "container images made in", async () => ({
    busybox: await busyboxImage(),
    debian: await debianImage((text) => narrator.say(text)),
  }));

  const containerd = await timed(narrator, "a containerd of its own started in", () => startKataContainerd());
  const interrupted = stopOnSignals(containerd, narrator);
  const { address } = containerd;
  try {
    const stage = await timed(narrator, "images imported in", () =>
      Stage.open(containerd, narrator, images, values.runtime),
    );
    narrator.say(`Below, ctr stands for: ctr --address ${address.socket} --namespace ${address.tag}`);
    for (const { title, play } of CHAPTERS) {
      narrator.chapter(title);
      await play(stage);
    }
    narrator.chapter("A clean end");
    await stage.expectClean();
    narrator.good("no process, mount, network link, cgroup or file of the containers is left");
  } catch (error) {
    // What was interrupted fails; that it was interrupted has been said.
    if (!interrupted.aborted) throw error;
  } finally {
    await containerd[Symbol.asyncDispose]();
  }
  if (interrupted.aborted) return;
  must(
    !existsSync(address.directory) && processesOf(address.tag).length === 0,
    "containerd left something behind",
  );
  narrator.good("containerd has ended and its directory is gone");
  narrator.say(`The demo took ${duration(performance.now() - started)}.`);
}

/** On Ctrl-C, a lost terminal or a polite kill: ends what was started, then itself. @returns a signal that tells of it. */
function stopOnSignals(containerd: PrivateContainerd, narrator: Narrator): AbortSignal {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (interrupted.signal.aborted) return;
      interrupted.abort();
      narrator.say(`${signal}: cleaning up`);
      containerd[Symbol.asyncDispose]()
        .then(() => narrator.good("nothing is left"))
        .catch((error: unknown) => narrator.bad(error instanceof Error ? error.message : String(error)))
        .finally(() => process.exit(128 + constants.signals[signal]));
    });
  }
  return interrupted.signal;
}

async function timed<T>(narrator: Narrator, what: string, action: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await action();
  narrator.took(what, performance.now() - started);
  return result;
}

async function npmRun(script: string): Promise<void> {
  await mustRun("npm", ["run", "--silent", script], { cwd: ROOT, deadlineMs: BUILD_DEADLINE_MS });
}

main().catch((error: unknown) => {
  narrateOn(process.stderr).bad(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
