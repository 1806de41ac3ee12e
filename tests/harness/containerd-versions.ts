/** containerd of other Debian suites than the machine's own: its package is fetched and unpacked, never installed. */
import { join } from "node:path";
import { madeOnce } from "../../scripts/apt/made-once.ts";
import { fetchBinaryPackage } from "../../scripts/apt/private-apt.ts";
import { mustRun } from "./command.ts";

const CACHE = join(import.meta.dirname, "../../build/cache/containerd");

export type ContainerdSuite = "system" | "trixie" | "sid";
export const CONTAINERD_SUITES: readonly ContainerdSuite[] = ["system", "trixie", "sid"];

/** @returns the directory of the programs; undefined for those of PATH. */
export async function containerdPrograms(suite: ContainerdSuite): Promise<string | undefined> {
  if (suite === "system") return undefined;
  const { path, sha256 } = await fetchBinaryPackage({ suite, name: "containerd" });
  const directory = join(CACHE, `${suite}-${sha256.slice(0, 16)}`);
  await madeOnce(directory, (unfinished) => mustRun("dpkg-deb", ["--extract", path, unfinished]));
  return join(directory, "usr/bin");
}

/** Such as `1.7.24`. */
export async function containerdVersion(programs: string | undefined): Promise<string> {
  const program = programs === undefined ? "containerd" : join(programs, "containerd");
  const told = await mustRun(program, ["--version"]);
  const version = /\b\d+\.\d+\.\d+/.exec(told)?.[0];
  if (version === undefined) throw new Error(`${program} --version says ${told.trim()}`);
  return version;
}
