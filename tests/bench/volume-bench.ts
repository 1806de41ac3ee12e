/**
 * Volumes beside the reference: a directory of the host in a container of runc, the same shared with a guest, and a disk that the guest
 * mounts (a direct volume).
 */
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Engine } from "../../scripts/build/engine.ts";
import { buildProgram } from "../../scripts/build/program.ts";
import { mustRun } from "../harness/command.ts";
import { BUILT_PROGRAMS } from "../harness/kata-configuration.ts";
import type { PrivateContainerd } from "../harness/private-containerd.ts";
import { RUNC_RUNTIME } from "../harness/subject.ts";
import type { Figure } from "./figure.ts";
import {
  BLOCK_BYTES,
  RANDOM_BLOCKS,
  ROUNDS,
  SEQUENTIAL_BYTES,
  SMALL_FILE_BYTES,
  SMALL_FILES,
} from "./volume-sizes.ts";

const PROBE = { entry: "tests/bench/volume-probe.ts", output: "build/test/volume-probe" };
/** An emulated guest on a busy machine, ms. */
const DEADLINE_MS = 180_000;
const DISK_MIB = 96;

/** @param image with busybox. */
export async function volumes(
  root: string,
  engine: Engine,
  containerd: PrivateContainerd,
  image: string,
  runtime: string,
): Promise<Figure[]> {
  await buildProgram(root, engine, PROBE);
  const { directory, tag } = containerd.address;
  const probe = join(directory, "probe");
  mkdirSync(probe);
  copyFileSync(join(root, PROBE.output), join(probe, "volume-probe"));
  const measure = async (subject: string, name: string, volume: string): Promise<Figure[]> => {
    const bind = (source: string, target: string) => [
      "--mount",
      `type=bind,src=${source},dst=${target},options=rbind:rw`,
    ];
    const { status, stdout, stderr } = await containerd.ctr.runContainer(
      {
        id: `${tag}-${subject}`,
        image,
        runtime: name,
        command: ["/probe/volume-probe", "/volume", subject],
        flags: [...bind(probe, "/probe"), ...bind(volume, "/volume")],
      },
      { deadlineMs: DEADLINE_MS },
    );
    if (status !== 0) throw new Error(`bench: volume of ${subject}: exit status ${status}\n${stderr}`);
    return JSON.parse(stdout) as Figure[];
  };
  const filled = async (name: string) => {
    const path = join(directory, name);
    await fill(path);
    return path;
  };
  const figures = await measure("runc", RUNC_RUNTIME, await filled("volume-runc"));
  if (runtime === RUNC_RUNTIME) return figures;
  figures.push(...(await measure("kata-shared", runtime, await filled("volume-shared"))));
  figures.push(...(await onDisk(directory, (volume) => measure("kata-disk", runtime, volume))));
  return figures.sort((a, b) => a.name.localeCompare(b.name));
}

async function onDisk(directory: string, measure: (volume: string) => Promise<Figure[]>): Promise<Figure[]> {
  const [content, image, volume] = ["content", "disk", "volume-disk"].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  await fill(content);
  writeFileSync(image, "");
  truncateSync(image, DISK_MIB << 20);
  await mustRun("/sbin/mkfs.ext4", ["-q", "-F", "-d", content, image]);
  mkdirSync(volume);
  const runtime = (...args: string[]) =>
    mustRun(join(BUILT_PROGRAMS, "kata-runtime"), ["direct-volume", ...args]);
  const info = JSON.stringify({ "volume-type": "block", device: image, fstype: "ext4" });
  await runtime("add", "--volume-path", volume, "--mount-info", info);
  try {
    return await measure(volume);
  } finally {
    await runtime("remove", "--volume-path", volume);
  }
}

/** Files that the guest has not seen yet. */
async function fill(directory: string): Promise<void> {
  mkdirSync(directory);
  for (let round = 0; round < ROUNDS; round++) {
    writeFileSync(join(directory, `sequential-${round}`), randomBytes(SEQUENTIAL_BYTES));
  }
  writeFileSync(join(directory, "random"), randomBytes(RANDOM_BLOCKS * BLOCK_BYTES));
  const small = join(directory, "small");
  mkdirSync(small);
  for (let file = 0; file < SMALL_FILES; file++) {
    writeFileSync(join(small, `file-${file}`), randomBytes(SMALL_FILE_BYTES));
  }
  await mustRun("tar", ["cf", join(directory, "small.tar"), "-C", directory, "small"]);
}
