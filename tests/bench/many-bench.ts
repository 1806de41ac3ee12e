/**
 * Many pods: `burst` starts them at the same time, `sequence` one after the other, `idle` keeps them and weighs them.
 *
 * Times are of `ctr run --rm … true`, and for `idle` of the start of one more pod beside those that are there. Memory is the
 * proportional set size of all that a pod has on the host, so that what clones share is counted once.
 */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { parseMemoryInfo } from "../../src/sandbox/pool/available-memory.ts";
import { processesOf } from "../harness/instance-processes.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { runOnce } from "./container-bench.ts";
import { type Figure, figure } from "./figure.ts";
import { type KataSubjects, REFERENCE } from "./subjects.ts";

/** All share the processors, and an emulated guest needs a second or two of one, ms. */
const BURST_DEADLINE_MS = 600_000;
/** How long pods do nothing before their processors' time is counted, ms. */
const IDLE_MS = 10_000;
const MIB = 1 << 20;
/** AKS's smallest machine of a pod. */
const SMALL_MACHINE = { "hypervisor.qemu": { default_memory: 128 } };
/** Of the host's memory: no more pods are started than leave this share, since nobody knows whom the kernel would kill. */
const KEPT_FREE = 0.06;
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
  return [...samples].flatMap(([name, times]) => [
    figure("sequence", name, "ms", times),
    ...firstAndLast("sequence", name, times),
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
  const subject = kata.configured("kata-small", SMALL_MACHINE);
  const { ctr, address } = containerd;
  const ids: string[] = [];
  const starts: number[] = [];
  // Makes the template, whose file is no pod's.
  await runOnce(containerd, image, subject, "idle-first");
  const { total, available } = hostMemory();
  try {
    for (let index = 0; index < count; index++) {
      if (hostMemory().available < total * KEPT_FREE) {
        console.error(`bench: the host's memory is used up by ${index} pods of the ${count}`);
        break;
      }
      const id = `${address.tag}-idle-${index}`;
      const began = performance.now();
      const { runtime, flags } = subject;
      await ctr.runDetached({ id, image, runtime, flags, command: ["sleep", "1000000"] });
      starts.push(performance.now() - began);
      ids.push(id);
    }
    await pause(IDLE_MS);
    const memory = partsOf(containerd);
    const taken = (available - hostMemory().available) / ids.length;
    const before = processorMs(containerd, ids);
    await pause(IDLE_MS);
    const after = processorMs(containerd, ids);
    const shares = ids.map((id) => ((after.get(id) ?? 0) - (before.get(id) ?? 0)) / IDLE_MS);
    return [
      figure("idle-pods", subject.name, "pods", [ids.length]),
      ...[...memory].map(([part, sizes]) => figure("idle-pss", part, "bytes", sizes)),
      figure("idle-host-memory", "a pod, of what the host has available", "bytes", [taken]),
      figure("idle-processor", subject.name, "cores", shares),
      ...firstAndLast("idle-start", subject.name, starts),
    ];
  } finally {
    for (const id of ids) await ctr.remove(id);
  }
}

/** What the first starts took, the last, and how many times the first's median the last's is. */
function firstAndLast(name: string, subject: string, times: readonly number[]): Figure[] {
  const few = Math.min(COMPARED, Math.ceil(times.length / 2));
  const first = figure(`${name}-first`, subject, "ms", times.slice(0, few));
  const last = figure(`${name}-last`, subject, "ms", times.slice(-few));
  return [first, last, figure(`${name}-growth`, subject, "times", [last.median / first.median])];
}

/** Of the host, bytes. */
function hostMemory(): { readonly total: number; readonly available: number } {
  const { available, total } = parseMemoryInfo(readFileSync("/proc/meminfo", "utf8"));
  return { total: total * MIB, available: available * MIB };
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

/** User's and system's time of each pod's processes so far, ms. */
function processorMs(containerd: PrivateContainerd, ids: readonly string[]): Map<string, number> {
  const times = new Map<string, number>();
  for (const { pid, argv } of podProcesses(containerd)) {
    const words = new Set(argv.join("\0").split(/[^\w-]+/));
    const id = ids.find((each) => words.has(each) || words.has(`sandbox-${each}`));
    if (id === undefined) continue;
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    times.set(id, (times.get(id) ?? 0) + (Number(fields[11]) + Number(fields[12])) * TICK_MS);
  }
  return times;
}

function podProcesses({ address, pid: daemon }: PrivateContainerd) {
  return processesOf(address.tag).filter(({ pid }) => pid !== daemon);
}
