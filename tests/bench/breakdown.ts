/**
 * Where the time of a start goes: the phases that pods with `enable_tracing` leave behind, on the host and in the guest, each with its
 * median over several containers.
 *
 * Phases of one row lie within each other (a call and what it waits for), and rows run beside each other: they do not add up.
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { eventually } from "../harness/eventually.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { runOnce } from "./container-bench.ts";
import { type Figure, figure, PHASE } from "./figure.ts";
import type { KataSubjects, Subject } from "./subjects.ts";
import { phasesOf } from "./trace-phases.ts";

/** Where shims leave traces. */
const TRACES = "/run/kata-traces";
/** A shim writes its trace when its pod is gone, which `ctr run` does not wait for, ms. */
const TRACE_DEADLINE_MS = 30_000;
/** Shorter ones say nothing beside a clock's own cost, ms. */
const SHORTEST_MS = 1;

/** @param keepIn directory that the traces are left in, for ui.perfetto.dev; undefined to forget them. */
export async function breakdown(
  containerd: PrivateContainerd,
  image: string,
  kata: KataSubjects,
  rounds: number,
  keepIn: string | undefined,
): Promise<Figure[]> {
  const subjects = [kata.tracedPool, kata.tracedTemplate];
  const samples = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round++) {
    for (const subject of subjects) {
      await kata.ready();
      const file = await tracedRun(containerd, image, subject, `${round}`);
      try {
        // The first one makes the template.
        if (round === 0) continue;
        if (keepIn !== undefined) {
          mkdirSync(keepIn, { recursive: true });
          copyFileSync(file, join(keepIn, basename(file)));
        }
        for (const [phase, ms] of phasesOf(readFileSync(file, "utf8"))) {
          const name = `${subject.name}: ${phase}`;
          samples.set(name, [...(samples.get(name) ?? []), ms]);
        }
      } finally {
        rmSync(file, { force: true });
      }
    }
  }
  return [...samples]
    .map(([name, times]) => figure(PHASE, name, "ms", times))
    .filter(({ median }) => median >= SHORTEST_MS);
}

/** @returns the file of the container's trace. */
async function tracedRun(
  containerd: PrivateContainerd,
  image: string,
  subject: Subject,
  suffix: string,
): Promise<string> {
  await runOnce(containerd, image, subject, suffix);
  const file = join(TRACES, `${containerd.address.tag}-${subject.name}-${suffix}.json`);
  await eventually(`trace ${file}`, TRACE_DEADLINE_MS, () => isWhole(file));
  return file;
}

/** Files are put there whole. */
function isWhole(file: string): true | undefined {
  try {
    readFileSync(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
