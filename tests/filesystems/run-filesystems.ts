/**
 * `npm run test:fs`: what programs count on of a file system, tried on every way that a container's files come to it.
 *
 *   npm run test:fs                          all ways
 *   npm run test:fs -- --only shared,disk    these
 *
 * The reference is a directory in a container of runc: what fails there is the host's own file system's and is not asked for. A check
 * that a way cannot pass has to be in `refused.ts` with the reason; one that is there and passes fails the run as well. It exits with
 * 1 then. Needs root and what `npm run build` and `npm run image` have made.
 */
import { copyFileSync, mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildEngine } from "../../scripts/build/engine.ts";
import { buildProgram } from "../../scripts/build/program.ts";
import { type CommandResult, mustRun } from "../harness/command.ts";
import { busyboxImage, importImage } from "../harness/images.ts";
import { BUILT_PROGRAMS, writeKataConfiguration } from "../harness/kata-configuration.ts";
import { startKataContainerd } from "../harness/kata-containerd.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { KATA_RUNTIME, RUNC_RUNTIME } from "../harness/subject.ts";
import { type Complaints, judge } from "./judge.ts";
import { withLayers } from "./layers-way.ts";
import { REFUSED } from "./refused.ts";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const PROBE = { entry: "tests/filesystems/probe.ts", output: "build/test/filesystem-probe" };
/** An emulated guest on a busy machine, ms. */
const DEADLINE_MS = 300_000;
const DISK_MIB = 64;

interface Bench {
  readonly containerd: PrivateContainerd;
  readonly image: string;
  /** Directory with the probe. */
  readonly probe: string;
}

type Way = (bench: Bench) => Promise<Complaints>;

/** Every way that files come to a container by. */
const WAYS: Readonly<Record<string, Way>> = {
  shared: async (bench) => tryVolume(bench, "shared", KATA_RUNTIME, newDirectory(bench, "shared")),
  "shared-attributes": (bench) => {
    const file = writeKataConfiguration(bench.containerd.address.directory, "attributes", {
      "hypervisor.qemu": { virtio_fs_extra_args: ["-o", "xattr"] },
    });
    const volume = bind(newDirectory(bench, "attributes"), "/volume");
    return probe(bench, "attributes", KATA_RUNTIME, "/volume", ["--runtime-config-path", file, ...volume]);
  },
  disk: tryDisk,
  root: (bench) => probe(bench, "root", KATA_RUNTIME, "/", []),
  layers: tryLayers,
  memory: (bench) =>
    probe(bench, "memory", KATA_RUNTIME, "/memory", [
      "--mount",
      "type=tmpfs,src=tmpfs,dst=/memory,options=rw",
    ]),
};

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { only: { type: "string" } } });
  const chosen = values.only?.split(",") ?? Object.keys(WAYS);
  const engine = await buildEngine(ROOT, (text) => console.error(text));
  await buildProgram(ROOT, engine, PROBE);
  await using containerd = await startKataContainerd();
  const image = await busyboxImage();
  await importImage(containerd.ctr, image);
  const directory = join(containerd.address.directory, "probe");
  mkdirSync(directory);
  copyFileSync(join(ROOT, PROBE.output), join(directory, "probe"));
  const bench = { containerd, image: image.name, probe: directory };
  const reference = await tryVolume(bench, "runc", RUNC_RUNTIME, newDirectory(bench, "runc"));
  const faults: string[] = [];
  for (const name of chosen) {
    const way = WAYS[name];
    if (way === undefined) throw new Error(`test:fs: no way ${name}: ${Object.keys(WAYS).join(", ")}`);
    const { passed, faults: found } = judge(name, reference, await way(bench), REFUSED[name] ?? {});
    process.stdout.write(`${name}: ${passed} of ${Object.keys(reference).length} checks\n`);
    faults.push(...found);
  }
  faults.push(...(await twoContainers(bench)), ...(await refusesUnofferedWays(bench)));
  for (const fault of faults) console.error(`test:fs: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
}

function newDirectory({ containerd }: Bench, name: string): string {
  const path = join(containerd.address.directory, `volume-${name}`);
  mkdirSync(path);
  return path;
}

function bind(source: string, target: string): string[] {
  return ["--mount", `type=bind,src=${source},dst=${target},options=rbind:rw`];
}

function tryVolume(bench: Bench, name: string, runtime: string, volume: string): Promise<Complaints> {
  return probe(bench, name, runtime, "/volume", bind(volume, "/volume"));
}

/** Runs all checks in `place` of a container. */
async function probe(
  { containerd, image, probe: directory }: Bench,
  name: string,
  runtime: string,
  place: string,
  flags: readonly string[],
): Promise<Complaints> {
  const id = `${containerd.address.tag}-fs-${name}`;
  const request = { id, image, runtime, ...checksIn(directory, place, flags) };
  const result = await containerd.ctr.runContainer(request, { deadlineMs: DEADLINE_MS });
  return complaintsOf(name, result, containerd.log);
}

function checksIn(directory: string, place: string, flags: readonly string[]) {
  return { command: ["/probe/probe", "check", place], flags: [...bind(directory, "/probe"), ...flags] };
}

function complaintsOf(name: string, { status, stdout, stderr }: CommandResult, log: string): Complaints {
  if (status !== 0) throw new Error(`test:fs: ${name}: exit status ${status}\n${stderr}\n${log}`);
  return JSON.parse(stdout) as Complaints;
}

/** The root of an image of verified layers. */
function tryLayers(bench: Bench): Promise<Complaints> {
  return withLayers(async ({ ctr, image, tag, env }) => {
    const request = {
      id: `${tag}-fs-layers`,
      image,
      runtime: KATA_RUNTIME,
      ...checksIn(bench.probe, "/", []),
    };
    return complaintsOf("layers", await ctr.runContainer(request, { env, deadlineMs: DEADLINE_MS }), "");
  });
}

/** A disk that the guest mounts itself: a direct volume. */
async function tryDisk(bench: Bench): Promise<Complaints> {
  const image = join(bench.containerd.address.directory, "disk");
  writeFileSync(image, "");
  truncateSync(image, DISK_MIB << 20);
  await mustRun("/sbin/mkfs.ext4", ["-q", "-F", image]);
  const volume = newDirectory(bench, "disk");
  const runtime = (...args: string[]) =>
    mustRun(join(BUILT_PROGRAMS, "kata-runtime"), ["direct-volume", ...args]);
  const info = JSON.stringify({ "volume-type": "block", device: image, fstype: "ext4" });
  await runtime("add", "--volume-path", volume, "--mount-info", info);
  try {
    return await tryVolume(bench, "disk", KATA_RUNTIME, volume);
  } finally {
    await runtime("remove", "--volume-path", volume);
  }
}

/** Two pods with one volume: each sees what the other has written. */
async function twoContainers(bench: Bench): Promise<string[]> {
  const volume = newDirectory(bench, "two");
  const run = async (name: string, script: string) => {
    const id = `${bench.containerd.address.tag}-fs-${name}`;
    const flags = [...bind(bench.probe, "/probe"), ...bind(volume, "/volume")];
    const command = ["sh", "-ec", script];
    const request = { id, image: bench.image, runtime: KATA_RUNTIME, command, flags };
    const { status, stderr } = await bench.containerd.ctr.runContainer(request, { deadlineMs: DEADLINE_MS });
    return status === 0 ? [] : [`two containers: ${name} ended with ${status} ${stderr.trim()}`];
  };
  const results = await Promise.all([
    run("first", "echo ping > /volume/to-second; /probe/probe wait /volume/to-first pong"),
    run("second", "/probe/probe wait /volume/to-second ping; echo pong > /volume/to-first"),
  ]);
  return results.flat();
}

/** What is not offered is refused when the pod starts, not discovered by its programs. */
async function refusesUnofferedWays({ containerd, image }: Bench): Promise<string[]> {
  const faults: string[] = [];
  for (const way of ["virtio-9p", "virtio-fs-nydus"]) {
    const file = writeKataConfiguration(containerd.address.directory, way, {
      "hypervisor.qemu": { shared_fs: way },
    });
    const { status, stderr } = await containerd.ctr.runContainer(
      {
        id: `${containerd.address.tag}-fs-${way}`,
        image,
        runtime: KATA_RUNTIME,
        command: ["true"],
        flags: ["--runtime-config-path", file],
      },
      { deadlineMs: DEADLINE_MS },
    );
    if (status === 0 || !stderr.includes("shared_fs")) faults.push(`${way} is not refused: ${stderr.trim()}`);
    else process.stdout.write(`${way}: refused\n`);
  }
  return faults;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
