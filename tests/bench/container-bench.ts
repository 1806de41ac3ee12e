/**
 * Containers of every way to start one, and of runc, in turn, so that all see the same machine: `ctr-run` is the whole of
 * `ctr run --rm … busybox true`, `exec` of `ctr task exec … true`.
 */
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { type Figure, figure } from "./figure.ts";
import { type KataSubjects, REFERENCE, type Subject } from "./subjects.ts";

/** A machine whose processor is emulated, on a busy host, ms. */
const CONTAINER_DEADLINE_MS = 60_000;

/** @param without names of ways that are left out. */
export async function ctrRuns(
  containerd: PrivateContainerd,
  image: string,
  kata: KataSubjects,
  rounds: number,
  without: readonly string[] = [],
): Promise<Figure[]> {
  const all = [REFERENCE, kata.pool, kata.template, kata.cold];
  const subjects = all.filter(({ name }) => !without.includes(name));
  return await ctrRun(containerd, image, subjects, rounds, () => kata.ready());
}

/** Another runtime than this project's, beside runc. */
export async function otherRuns(
  containerd: PrivateContainerd,
  image: string,
  runtime: string,
  rounds: number,
): Promise<Figure[]> {
  const other = { name: runtime, runtime, flags: [] };
  return await ctrRun(containerd, image, [REFERENCE, other], rounds, async () => undefined);
}

/** A process in a container that is there: the pool has no part in it. */
export async function execs(
  containerd: PrivateContainerd,
  image: string,
  kata: KataSubjects,
  rounds: number,
): Promise<Figure[]> {
  await kata.ready();
  const subjects = [REFERENCE, kata.pool];
  const { ctr } = containerd;
  const samples = new Map<string, number[]>(subjects.map(({ name }) => [name, []]));
  const idOf = ({ name }: Subject) => `${containerd.address.tag}-exec-${name}`;
  for (const subject of subjects) {
    const { runtime, flags } = subject;
    await ctr.runDetached({ id: idOf(subject), image, runtime, flags, command: ["sleep", "100000"] });
  }
  await kata.ready();
  for (let round = 0; round <= rounds; round++) {
    for (const subject of subjects) {
      const { status, stderr, ms } = await ctr.call(
        ctr.execArguments(idOf(subject), `x${round}`, [], ["true"]),
      );
      if (status !== 0) throw new Error(`bench: exec in ${subject.name}: exit status ${status}\n${stderr}`);
      if (round > 0) samples.get(subject.name)?.push(ms);
    }
  }
  for (const subject of subjects) await ctr.remove(idOf(subject));
  return [...samples].map(([name, times]) => figure("exec", name, "ms", times));
}

async function ctrRun(
  containerd: PrivateContainerd,
  image: string,
  subjects: readonly Subject[],
  rounds: number,
  ready: () => Promise<void>,
): Promise<Figure[]> {
  const samples = new Map<string, number[]>(subjects.map(({ name }) => [name, []]));
  // The first container of each is not counted: it reads programs and images from the disk, and makes the template.
  for (let round = 0; round <= rounds; round++) {
    for (const subject of subjects) {
      await ready();
      const ms = await runOnce(containerd, image, subject, `${round}`);
      if (round > 0) samples.get(subject.name)?.push(ms);
    }
  }
  return [...samples].map(([name, times]) => figure("ctr-run", name, "ms", times));
}

/** `ctr run --rm … true`. @returns how long it took, ms. */
export async function runOnce(
  containerd: PrivateContainerd,
  image: string,
  { name, runtime, flags }: Subject,
  suffix: string,
  deadlineMs = CONTAINER_DEADLINE_MS,
): Promise<number> {
  const id = `${containerd.address.tag}-${name}-${suffix}`;
  const request = { id, image, runtime, flags, command: ["true"] };
  const result = await containerd.ctr.runContainer(request, { deadlineMs });
  if (result.status === 0) return result.ms;
  throw new Error(`bench: ${name}: exit status ${result.status}\n${result.stderr}\n${containerd.log}`);
}
