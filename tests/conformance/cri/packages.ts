/** Debian packages that only these tests need: fetched and unpacked below build/cache, never installed. */
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fetchBinaryPackage } from "../../../scripts/apt/private-apt.ts";
import { mustRun } from "../../harness/command.ts";

const CACHE = join(import.meta.dirname, "../../../build/cache/cri");

/** Unpacks packages of `suite` into one directory, once for each set of versions. @returns the directory. */
export async function unpackedPackages(suite: string, names: readonly string[]): Promise<string> {
  const packages = [];
  for (const name of names) packages.push(await fetchBinaryPackage({ suite, name }));
  const key = packages.map(({ sha256 }) => sha256.slice(0, 8)).join("-");
  const directory = join(CACHE, "packages", key);
  if (existsSync(directory)) return directory;
  const unfinished = `${directory}.${process.pid}`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  for (const { path } of packages) await mustRun("dpkg-deb", ["--extract", path, unfinished]);
  await rename(unfinished, directory);
  return directory;
}

/** Code name of the machine's release, such as `bookworm`. Source: os-release(5). */
export async function machineSuite(): Promise<string> {
  const name = /^VERSION_CODENAME="?([\w-]+)"?$/m.exec(await readFile("/etc/os-release", "utf8"))?.[1];
  if (name === undefined) throw new Error("/etc/os-release names no release: the tests need Debian");
  return name;
}
