/**
 * Containers of every way to start one, and of runc, in turn, so that all see the same machine: `ctr-run` is the whole of
 * `ctr run --rm … busybox true`, `exec` of `ctr task exec … true`.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type LiveCommand, runCommand, startCommand } from "../harness/command.ts";
import type { Ctr } from "../harness/ctr.ts";
import { eventually } from "../harness/eventually.ts";
import { BUILT_PROGRAMS, type Configuration, writeKataConfiguration } from "../harness/kata-configuration.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { KATA_RUNTIME, RUNC_RUNTIME } from "../harness/subject.ts";
import { type Figure, figure } from "./figure.ts";

interface Subject {
  readonly name: string;
  readonly runtime: string;
  /** Of `ctr run`. */
  readonly flags: readonly string[];
}

const KATA_RUNTIME_PROGRAM = join(BUILT_PROGRAMS, "kata-runtime");
/** A machine whose processor is emulated, on a busy host, ms. */
const CONTAINER_DEADLINE_MS = 60_000;
const POOL_DEADLINE_MS = 180_000;

/** @param runtime ours, or another one to be measured in its place, which then is the only subject beside runc. */
export async function containers(
  containerd: PrivateContainerd,
  image: string,
  runtime: string,
  rounds: number,
): Promise<Figure[]> {
  const { directory, tag } = containerd.address;
  const root = `/run/kata-bench-${tag}`;
  const templates = { template_path: `${root}/templates` };
  const configured = (name: string, changes: Configuration): Subject => {
    const file = writeKataConfiguration(directory, name, changes);
    return { name, runtime, flags: ["--runtime-config-path", file] };
  };
  const pooled = { ...templates, vm_cache_number: 1, vm_cache_endpoint: `${root}/cache.sock` };
  const reference: Subject = { name: "runc", runtime: RUNC_RUNTIME, flags: [] };
  if (runtime !== KATA_RUNTIME) {
    return await ctrRun(
      containerd,
      image,
      [reference, { name: runtime, runtime, flags: [] }],
      rounds,
      undefined,
    );
  }
  const pool = configured("kata-pool", { factory: pooled });
  const template = configured("kata-template", { factory: templates });
  const cold = configured("kata-cold", { factory: { enable_template: false } });
  const env = { ...process.env, KATA_CONF_FILE: pool.flags[1] ?? "" };
  try {
    await using _service: LiveCommand = startCommand(KATA_RUNTIME_PROGRAM, ["factory", "serve"], { env });
    const ready = () => machineIsReady(env);
    const runs = await ctrRun(containerd, image, [reference, pool, template, cold], rounds, ready);
    const execs = await exec(containerd.ctr, tag, image, [reference, template], rounds);
    return [...runs, ...execs];
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Waits until the pool has its machine and rests. */
async function machineIsReady(env: NodeJS.ProcessEnv): Promise<void> {
  const isReady = async () => {
    const { status, stdout } = await runCommand(KATA_RUNTIME_PROGRAM, ["factory", "status", "--json"], {
      env,
    });
    if (status !== 0) return undefined;
    const { pool } = JSON.parse(stdout) as { pool: { ready: unknown[]; building: boolean } | null };
    return pool !== null && pool.ready.length > 0 && !pool.building ? true : undefined;
  };
  await eventually("a machine of the pool", POOL_DEADLINE_MS, isReady);
}

async function ctrRun(
  containerd: PrivateContainerd,
  image: string,
  subjects: readonly Subject[],
  rounds: number,
  ready: (() => Promise<void>) | undefined,
): Promise<Figure[]> {
  const samples = new Map<string, number[]>(subjects.map(({ name }) => [name, []]));
  // The first container of each is not counted: it reads programs and images from the disk, and makes the template.
  for (let round = 0; round <= rounds; round++) {
    for (const { name, runtime, flags } of subjects) {
      // Before each of them: what makes the next machine would be in the others' way.
      await ready?.();
      const id = `${containerd.address.tag}-${name}-${round}`;
      const request = { id, image, runtime, flags, command: ["true"] };
      const result = await containerd.ctr.runContainer(request, { deadlineMs: CONTAINER_DEADLINE_MS });
      if (result.status !== 0) {
        throw new Error(`bench: ${name}: exit status ${result.status}\n${result.stderr}\n${containerd.log}`);
      }
      if (round > 0) samples.get(name)?.push(result.ms);
    }
  }
  return [...samples].map(([name, times]) => figure("ctr-run", name, "ms", times));
}

async function exec(
  ctr: Ctr,
  tag: string,
  image: string,
  subjects: readonly Subject[],
  rounds: number,
): Promise<Figure[]> {
  const samples = new Map<string, number[]>(subjects.map(({ name }) => [name, []]));
  const idOf = ({ name }: Subject) => `${tag}-exec-${name}`;
  for (const subject of subjects) {
    const { runtime, flags } = subject;
    await ctr.runDetached({ id: idOf(subject), image, runtime, flags, command: ["sleep", "100000"] });
  }
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
