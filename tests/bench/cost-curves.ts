/**
 * What more work costs: containers of a pod, mounts of a container, bytes of standard output, sandboxes. Each step is measured once
 * beside those before it, so that a curve which bends upwards shows what does not scale.
 */
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import type { Curve } from "./plot-svg.ts";
import type { KataSubjects, Subject } from "./subjects.ts";

const DEADLINE_MS = 600_000;
const MIB = 1 << 20;

/** The largest step of each curve; the others are its tenth, quarter and half. */
export interface CurveSizes {
  readonly containers: number;
  readonly mounts: number;
  readonly outputMib: number;
  readonly sandboxes: number;
}

export const WHOLE_CURVES: CurveSizes = { containers: 100, mounts: 200, outputMib: 1024, sandboxes: 200 };

/** `part` of the whole curves, at least four of each. */
export function partOfCurves(part: number): CurveSizes {
  const scaled = (most: number) => Math.max(4, Math.round(most * part));
  const { containers, mounts, outputMib, sandboxes } = WHOLE_CURVES;
  return {
    containers: scaled(containers),
    mounts: scaled(mounts),
    outputMib: scaled(outputMib),
    sandboxes: scaled(sandboxes),
  };
}

/** Ascending, without repetitions. */
export function stepsTo(most: number): number[] {
  return [...new Set([1, ...[0.1, 0.25, 0.5, 1].map((part) => Math.max(1, Math.round(most * part)))])];
}

export async function costCurves(
  containerd: PrivateContainerd,
  image: string,
  kata: KataSubjects,
  sizes: CurveSizes,
): Promise<Curve[]> {
  await kata.ready();
  const bench = { containerd, image, subject: kata.template };
  return [
    await containersOfPod(bench, sizes.containers),
    await mountsOfContainer(bench, sizes.mounts),
    await outputOfContainer(bench, sizes.outputMib),
    await sandboxes(bench, sizes.sandboxes),
  ];
}

interface Bench {
  readonly containerd: PrivateContainerd;
  readonly image: string;
  readonly subject: Subject;
}

/** All containers of one pod, by the annotations of Kubernetes, until the last one runs. */
async function containersOfPod({ containerd, image, subject }: Bench, most: number): Promise<Curve> {
  const pod = `${containerd.address.tag}-curve-pod`;
  const { runtime, flags } = subject;
  const kind = (value: string) => ["--annotation", `io.kubernetes.cri.container-type=${value}`];
  const member = ["--annotation", `io.kubernetes.cri.sandbox-id=${pod}`];
  const ids: string[] = [];
  const points: [number, number][] = [];
  const steps = new Set(stepsTo(most));
  const command = ["sleep", "1000000"];
  await containerd.ctr.runDetached({
    id: pod,
    image,
    runtime,
    flags: [...flags, ...kind("sandbox")],
    command,
  });
  try {
    const began = performance.now();
    for (let count = 1; count <= most; count++) {
      const id = `${pod}-${count}`;
      const memberFlags = [...flags, ...kind("container"), ...member];
      await containerd.ctr.runDetached({ id, image, runtime, flags: memberFlags, command });
      ids.push(id);
      if (steps.has(count)) points.push([count, performance.now() - began]);
    }
  } finally {
    for (const id of ids) await containerd.ctr.remove(id);
    await containerd.ctr.remove(pod);
  }
  return { title: "containers of a pod", xName: "containers", yName: "ms", points };
}

/** `ctr run --rm … true` with so many mounts of host directories. */
async function mountsOfContainer({ containerd, image, subject }: Bench, most: number): Promise<Curve> {
  const points: [number, number][] = [];
  for (const count of stepsTo(most)) {
    const flags = Array.from({ length: count }, (_, index) => {
      const source = join(containerd.address.directory, "volumes", `${index}`);
      mkdirSync(source, { recursive: true });
      return ["--mount", `type=bind,src=${source},dst=/volumes/${index},options=rbind:rw`];
    }).flat();
    const { ms } = await run({ containerd, image, subject }, `mounts-${count}`, ["true"], flags);
    points.push([count, ms]);
  }
  return { title: "mounts of a container", xName: "mounts", yName: "ms", points };
}

/** So many bytes to standard output, which the shim writes into a file: all of them have to arrive. */
async function outputOfContainer(bench: Bench, mostMib: number): Promise<Curve> {
  const points: [number, number][] = [];
  for (const mib of stepsTo(mostMib)) {
    const script = `dd if=/dev/zero bs=1048576 count=${mib} 2> /dev/null`;
    const file = join(bench.containerd.address.directory, `output-${mib}`);
    const { ms } = await run(bench, `output-${mib}`, ["sh", "-c", script], ["--log-uri", `file://${file}`]);
    const bytes = statSync(file).size;
    rmSync(file);
    if (bytes !== mib * MIB) throw new Error(`bench: ${bytes} bytes of ${mib} MiB have arrived`);
    points.push([mib, ms]);
  }
  return { title: "standard output", xName: "MiB", yName: "ms", points };
}

/** Sandboxes that stay, until the last one runs. */
async function sandboxes({ containerd, image, subject }: Bench, most: number): Promise<Curve> {
  const ids: string[] = [];
  const points: [number, number][] = [];
  const steps = new Set(stepsTo(most));
  const { runtime, flags } = subject;
  try {
    const began = performance.now();
    for (let count = 1; count <= most; count++) {
      const id = `${containerd.address.tag}-curve-${count}`;
      await containerd.ctr.runDetached({ id, image, runtime, flags, command: ["sleep", "1000000"] });
      ids.push(id);
      if (steps.has(count)) points.push([count, performance.now() - began]);
    }
  } finally {
    for (const id of ids) await containerd.ctr.remove(id);
  }
  return { title: "sandboxes", xName: "sandboxes", yName: "ms", points };
}

async function run(
  { containerd, image, subject }: Bench,
  name: string,
  command: readonly string[],
  more: readonly string[] = [],
): Promise<{ readonly ms: number }> {
  const id = `${containerd.address.tag}-${name}`;
  const flags = [...subject.flags, ...more];
  const request = { id, image, runtime: subject.runtime, flags, command };
  const result = await containerd.ctr.runContainer(request, { deadlineMs: DEADLINE_MS });
  if (result.status !== 0) throw new Error(`bench: ${name}: exit status ${result.status}\n${result.stderr}`);
  return result;
}
