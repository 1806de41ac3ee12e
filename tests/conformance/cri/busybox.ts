/**
 * busybox as the images of its authors have it: everything it can do, and a shell that runs what PATH finds. Debian's own binary
 * lacks some programs that critest calls, and its shell runs applets without a look at their files, which one spec masks.
 */
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { fetchSourcePackage } from "../../../scripts/apt/private-apt.ts";
import { mustRun } from "../../harness/command.ts";

const CACHE = join(import.meta.dirname, "../../../build/cache/cri");

const SUITE = "bookworm";

/** `tc` does not compile with headers of newer kernels. */
const SETTINGS = {
  CONFIG_STATIC: "y",
  CONFIG_TC: "n",
  CONFIG_FEATURE_SH_STANDALONE: "n",
  CONFIG_FEATURE_PREFER_APPLETS: "n",
};

const BUILD_DEADLINE_MS = 10 * 60_000;

/** The program, built once from Debian's source package (about a minute). */
export async function builtBusybox(): Promise<string> {
  const program = join(CACHE, "busybox");
  if (existsSync(program)) return program;
  const directory = join(CACHE, `busybox-source.${process.pid}`);
  await mkdir(directory, { recursive: true });
  try {
    const source = await fetchSourcePackage({ suite: SUITE, name: "busybox", into: directory });
    const make = (...args: string[]) =>
      mustRun("make", ["-C", source, ...args], { deadlineMs: BUILD_DEADLINE_MS, stdin: "" });
    await make("defconfig");
    const config = join(source, ".config");
    await writeFile(config, changed(await readFile(config, "utf8")));
    await make("--silent", "oldconfig");
    await make("--silent", `-j${cpus().length}`, "busybox");
    await copyFile(join(source, "busybox"), `${program}.${process.pid}`);
    await rename(`${program}.${process.pid}`, program);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return program;
}

/** The configuration with {@link SETTINGS} in it. */
function changed(config: string): string {
  const kept = config
    .split("\n")
    .filter((line) => !Object.keys(SETTINGS).some((name) => new RegExp(`^(# )?${name}[ =]`).test(line)));
  const set = Object.entries(SETTINGS).map(([name, value]) =>
    value === "n" ? `# ${name} is not set` : `${name}=${value}`,
  );
  return `${[...kept, ...set].join("\n")}\n`;
}
