/**
 * Many pods: `burst` starts them at the same time, `sequence` one after the other, `idle` keeps them and weighs them.
 *
 * Times are of `ctr run --rm … true`, and for `idle` of the start of one more pod beside those that are there. Memory is the
 * proportional set size of all that a pod has on the host, so that what clones share is counted once.
 */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { processesOf } from "../harness/instance-processes.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { runOnce } from "./container-bench.ts";
import { type Figure, figure } from "./figure.ts";
import { type KataSubjects, REFERENCE, type Subject } from "./subjects.ts";

/** All share the processors, and an emulated guest needs a second or two of one, ms. */
const BURST_DEADLINE_MS = 600_000;
/** How long pods do nothing before their processors' time is counted, ms. */
const IDLE_MS = 10_000;
/** Pods whose starts are compared, at the beginning and at the end. */
const COMPARED = 10;
/** Source: sysconf(_SC_CLK_TCK), 100 on every Linux that this runs on. */
const TICK_MS = 10;

/** All at once: each one's time, and how many there were a second. */
export async function burst(
  containerd: PrivateContainerd,
  image: string,
  kata: KataSubjects,
  count: number,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const subject of [REFERENCE, kata.template]) {
    await kata.ready();
    // Makes the template.
    await runOnce(containerd, image, subject, "burst-first");
    await kata.ready();
    const began = performance.now();
    const starts = Array.from({ length: count }, (_, index) =>
      runOnce(containerd, image, subject, `burst-${index}`, BURST_DEADLINE_MS),
    );
    const times = await Promise.all(starts);
    const seconds = (performance.now() - began) / 1000;
    figures.push(figure("burst", subject.name, "ms", times));
    figures.push(figure("burst-throughput", subject.name, "pods/s", [count / seconds]));
  }
  return figures;
}

/** One after the other: all times, and those of the last beside those of the first. */
export async function sequence(
  containerd: PrivateContainerd,
  image: string,
  kata: KataSubjects,
  count: number,
): Promise<Figure[]> {
  const subjects = [REFERENCE, kata.template];
  const samples = new Map<string, number[]>(subjects.map(({ name }) => [name, []]));
  for (let index = 0; index <= count; index++) {
    for (const subject of subjects) {
      const ms = await runOnce(containerd, image, subject, `sequence-${index}`);
      if (index > 0) samples.get(subject.name)?.push(ms);
    }
  }
  const few = Math.min(COMPARED, Math.ceil(count / 2));
  return [...samples].flatMap(([name, times]) => [
    figure("sequence", name, "ms", times),
    figure("sequence-first", name, "ms", times.slice(0, few)),
    figure("sequence-last", name, "ms", times.slice(-few)),
  ]);
}

/** Pods that sleep: what each part of one weighs, what they cost while nothing happens, and whether the last starts as the first. */
export async function idle(
  containerd: PrivateContainerd,
  image: string,
  kata: KataSubjects,
  count: number,
): Promise<Figure[]> {
  await kata.ready();
  const subject: Subject = kata.template;
  const { ctr, address } = containerd;
  const ids: string[] = [];
  const starts: number[] = [];
  try {
    for (let index = 0; index < count; index++) {
      const id = `${address.tag}-idle-${index}`;
      const began = performance.now();
      const { runtime, flags } = subject;
      await ctr.runDetached({ id, image, runtime, flags, command: ["sleep", "1000000"] });
      starts.push(performance.now() - began);
      ids.push(id);
    }
    await pause(IDLE_MS);
    const memory = partsOf(containerd);
    const before = processorMs(containerd);
    await pause(IDLE_MS);
    const share = (processorMs(containerd) - before) / IDLE_MS / count;
    const few = Math.min(COMPARED, Math.ceil(count / 2));
    return [
      ...[...memory].map(([part, sizes]) => figure("idle-pss", part, "bytes", sizes)),
      figure("idle-processor", subject.name, "cores", [share]),
      figure("idle-start-first", subject.name, "ms", starts.slice(0, few)),
      figure("idle-start-last", subject.name, "ms", starts.slice(-few)),
    ];
  } finally {
    for (const id of ids) await ctr.remove(id);
  }
}

/** Proportional set sizes, bytes, by program. The daemon itself and the pool are no pod's. */
function partsOf(containerd: PrivateContainerd): Map<string, number[]> {
  const parts = new Map<string, number[]>();
  for (const { pid, argv } of podProcesses(containerd)) {
    const part = argv[0]?.split("/").at(-1) ?? "";
    const kib = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
    parts.set(part, [...(parts.get(part) ?? []), Number(kib ?? 0) * 1024]);
  }
  return parts;
}

/** User's and system's time of all pods' processes so far, ms. */
function processorMs(containerd: PrivateContainerd): number {
  return podProcesses(containerd).reduce((sum, { pid }) => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return sum + (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  }, 0);
}

function podProcesses({ address, pid: daemon }: PrivateContainerd) {
  return processesOf(address.tag).filter(({ pid }) => pid !== daemon);
}
