/** mount.fuse3, which containerd starts to mount what the snapshotter of verified layers tells it. */
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fetchBinaryPackage } from "../../scripts/apt/private-apt.ts";
import { mustRun } from "./command.ts";
import { debianArchives } from "./debian-archives.ts";

const CACHE = join(import.meta.dirname, "../../build/cache/fuse3");

/** @returns the directory of the program, of Debian's package. */
export async function fuseMountHelper(): Promise<string> {
  const { path, sha256 } = await fetchBinaryPackage({ suite: (await debianArchives()).suite, name: "fuse3" });
  const directory = join(CACHE, sha256.slice(0, 16));
  if (!existsSync(directory)) {
    const unfinished = `${directory}.${process.pid}`;
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { recursive: true });
    await mustRun("dpkg-deb", ["--extract", path, unfinished]);
    await rename(unfinished, directory);
  }
  const sbin = join(directory, "sbin");
  return existsSync(sbin) ? sbin : join(directory, "usr/sbin");
}
