/**
 * Mounts the layers of an image, each by mount(8), and all of them together, read-only.
 *
 * The layers are mounted in a directory for the moment: the overlay keeps them when they are unmounted there. It is mounted by
 * mount(2), whose options may be longer than fsconfig(2) takes. Source: as in arguments.ts.
 */

import { toHex } from "../crypto/sha256.ts";
import { KataError } from "../kata-error.ts";
import { AT_FDCWD, exists, mkdirat, O_PATH, open, readlink, rmdirIfExists } from "../sys/files.ts";
import { MS_RDONLY, mount } from "../sys/mount.ts";
import { chdir } from "../sys/process.ts";
import { environment, writeSync } from "../sys/program.ts";
import { randomBytes } from "../sys/random.ts";
import { spawn } from "../sys/spawn.ts";
import type { Layer } from "./layers.ts";

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** @throws KataError: `mount-failed` with mount(8)'s status, or `system-call`. */
export async function mountOverlay(layers: readonly Layer[], target: string): Promise<void> {
  const directory = temporaryDirectory();
  const mounted: string[] = [];
  try {
    for (const [index, layer] of layers.entries()) {
      const place = `${directory}/${index}`;
      mkdirat(AT_FDCWD, place, 0o700);
      writeSync(1, `Mounting ${JSON.stringify(layer.source)} to ${JSON.stringify(place)}\n`);
      const status = await run("mount", [layer.source, place, "-t", layer.filesystem, "-o", layer.options]);
      if (status !== 0) {
        rmdirIfExists(place);
        throw new KataError("mount-failed", {
          operation: `failed to mount ${JSON.stringify(layer.source)}`,
          object: describeStatus(status),
        });
      }
      mounted.push(place);
    }
    const real = canonical(target);
    if (layers.length === 1) {
      const status = await run("mount", [`${directory}/0`, real, "-t", "bind", "-o", "bind"]);
      if (status === 0) return;
      throw new KataError("mount-failed", {
        operation: `failed to mount ${JSON.stringify(`${directory}/0`)}`,
        object: describeStatus(status),
      });
    }
    chdir(directory);
    const lower = layers.map((_, index) => index).join(":");
    mount("overlay", real, "overlay", MS_RDONLY, `lowerdir=${lower}`);
  } finally {
    chdir("/");
    for (const place of mounted) await unmount(place);
    rmdirIfExists(directory);
  }
}

async function unmount(place: string): Promise<void> {
  try {
    const status = await run("umount", [place]);
    if (status !== 0) writeSync(2, `Unable to unmount ${JSON.stringify(place)}: ${describeStatus(status)}\n`);
    else rmdirIfExists(place);
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    writeSync(2, `Unable to run umount command: ${error.message}\n`);
  }
}

/** As Rust's standard library words it. */
function describeStatus(status: number): string {
  return status > 128 ? `signal: ${status - 128}` : `exit status: ${status}`;
}

/** The path of `target` without links. */
function canonical(target: string): string {
  using directory = open(target, O_PATH);
  return readlink(`/proc/self/fd/${directory.fd}`);
}

function temporaryDirectory(): string {
  const path = `${environment.TMPDIR || "/tmp"}/.tmp${toHex(randomBytes(6))}`;
  mkdirat(AT_FDCWD, path, 0o700);
  return path;
}

/** Runs a program of the search path with our streams to its end. @returns its exit status. */
async function run(name: string, args: readonly string[]): Promise<number> {
  const path = (environment.PATH ?? DEFAULT_PATH)
    .split(":")
    .map((directory) => `${directory}/${name}`)
    .find((candidate) => exists(candidate));
  if (path === undefined) {
    throw new KataError("system-call", { operation: "run", object: name, errno: "ENOENT" });
  }
  const child = await spawn({
    path,
    args: [name, ...args],
    environment: Object.entries(environment).map(([key, value]) => `${key}=${value}`),
    descriptors: [0, 1, 2],
  });
  return (await child.exited).status;
}
