/**
 * The C compiler that links programs statically with musl: the machine's own, or one for another architecture from Debian's
 * packages, which are unpacked below `build/cache` and never installed.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BinaryPackage, fetchBinaryPackage } from "../apt/private-apt.ts";
import { run } from "./run.ts";

/** As Linux and musl name them. */
export type Architecture = "x86_64" | "aarch64";

export const HOST_ARCHITECTURE: Architecture = process.arch === "arm64" ? "aarch64" : "x86_64";

export interface Compiler {
  readonly architecture: Architecture;
  readonly command: string;
  /** Come before all others. */
  readonly args: readonly string[];
  readonly archiver: string;
  readonly env: NodeJS.ProcessEnv;
}

const SUITE = "bookworm";
/** Run here. The libraries are in this machine's own compiler too, but perhaps of another version. */
const TOOLS = [
  "binutils-aarch64-linux-gnu",
  "cpp-12-aarch64-linux-gnu",
  "gcc-12-aarch64-linux-gnu",
  "libgcc-12-dev-arm64-cross",
  "libgmp10",
  "libisl23",
  "libmpc3",
  "libmpfr6",
];
/** For the other machine; the kernel's headers come from the compiler's side. */
const TARGET = ["musl-dev"];

/** @throws Error for an architecture that there are no packages for on this machine. */
export async function findCompiler(
  root: string,
  architecture: Architecture,
  progress: (text: string) => void,
): Promise<Compiler> {
  if (architecture === HOST_ARCHITECTURE) {
    return { architecture, command: "musl-gcc", args: [], archiver: "ar", env: process.env };
  }
  if (architecture !== "aarch64") {
    throw new Error(`programs for ${architecture} are built on a machine of that architecture`);
  }
  const tools = await crossTools(root, progress);
  const bin = join(tools, "usr/bin");
  return {
    architecture,
    command: join(bin, "aarch64-linux-gnu-gcc-12"),
    args: ["-specs", join(tools, "musl.specs")],
    archiver: join(bin, "aarch64-linux-gnu-ar"),
    env: { ...process.env, LD_LIBRARY_PATH: join(tools, "usr/lib/x86_64-linux-gnu") },
  };
}

/** @returns the directory with all packages unpacked. */
async function crossTools(root: string, progress: (text: string) => void): Promise<string> {
  const packages: BinaryPackage[] = [];
  for (const name of TOOLS) packages.push(await fetchBinaryPackage({ suite: SUITE, name }));
  for (const name of TARGET) {
    packages.push(await fetchBinaryPackage({ suite: SUITE, name, architecture: "arm64" }));
  }
  const key = createHash("sha256")
    .update(packages.map(({ sha256 }) => sha256).join("\n"))
    .digest("hex")
    .slice(0, 16);
  const directory = join(root, "build/cache/cross", `aarch64-${key}`);
  if (existsSync(directory)) return directory;
  progress("unpacking a compiler for aarch64 (once)");
  const unfinished = `${directory}.${process.pid}`;
  await mkdir(unfinished, { recursive: true });
  try {
    for (const { path } of packages) await run("dpkg-deb", ["--extract", path, unfinished]);
    // The package's own file has the paths of an installed musl.
    const specs = await readFile(join(unfinished, "usr/lib/aarch64-linux-musl/musl-gcc.specs"), "utf8");
    const moved = specs.replaceAll(
      /\/usr\/(include|lib)\/aarch64-linux-musl/g,
      `${directory}/usr/$1/aarch64-linux-musl`,
    );
    await writeFile(join(unfinished, "musl.specs"), moved);
    await rename(unfinished, directory);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
  return directory;
}
