/**
 * The kernel for containers, compiled from Debian's kernel source with the configuration of `configuration.ts`.
 *
 * `build/cache/kernel/container-<key>/` then holds `bzImage`, `modules.builtin` and `config`. The key is a hash of the source package,
 * the options and the compiler, so equal inputs are compiled once; equal inputs give equal bytes, too: the build is told a time, a user
 * and a host that are no one's.
 * Source: Linux Documentation/kbuild/reproducible-builds.rst, Documentation/kbuild/kconfig.rst.
 */
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type BinaryPackage, fetchBinaryPackage } from "../../../scripts/apt/private-apt.ts";
import { run } from "../../../scripts/build/run.ts";
import { describeError, KataError } from "../../kata-error.ts";
import { sha256 } from "../image-manifest.ts";
import { KERNEL_OPTIONS, kernelFragment, LOCAL_VERSION, unmetOptions } from "./configuration.ts";
import { KERNEL_BUILD_PACKAGES } from "./kernel-build-packages.ts";

/** The newest long-term kernel of the suite that the project is tested with. */
const SOURCE_PACKAGE = "linux-source-6.1";

/** Debian's names of the architectures that the options are written for, and the kernel's own. */
const KERNEL_ARCHITECTURES: Readonly<Record<string, string>> = { amd64: "x86_64" };

/** One processor, other work beside it: half an hour, or more; ms. */
const COMPILE_DEADLINE_MS = 2 * 3600 * 1000;

/** What a compiled kernel says of its making; without them the clock and the machine decide over the bytes. */
const REPRODUCIBLE = {
  KBUILD_BUILD_TIMESTAMP: "1970-01-01 00:00:00 UTC",
  KBUILD_BUILD_USER: "kata",
  KBUILD_BUILD_HOST: "kata",
  KBUILD_BUILD_VERSION: "1",
  SOURCE_DATE_EPOCH: "0",
  LC_ALL: "C",
  TZ: "UTC",
};

/** Files of a finished build. */
export interface ContainerKernel {
  readonly image: string;
  /** Paths of what would be modules elsewhere, one a line. */
  readonly builtIn: string;
}

/** What is compiled, known before it is. */
export interface ContainerKernelInputs {
  readonly source: BinaryPackage;
  /** Hash of source, options and compiler. */
  readonly key: string;
  /** What `uname -r` will say. */
  readonly release: string;
}

/**
 * Fetches the source and finds the compiler.
 *
 * @param architecture Debian's name.
 * @throws KataError `kernel-not-built` if there are no options for the architecture or a program is missing,
 *   `package-not-fetched` as {@link fetchBinaryPackage}.
 */
export async function containerKernelInputs(
  suite: string,
  architecture: string,
): Promise<ContainerKernelInputs> {
  if (KERNEL_ARCHITECTURES[architecture] === undefined) {
    throw notBuilt(
      "configure",
      `the kernel for ${architecture}`,
      "Debian's kernel runs there: leave out --kernel",
    );
  }
  const source = await fetchBinaryPackage({ suite, name: SOURCE_PACKAGE });
  const tools = await toolVersions();
  const key = sha256(JSON.stringify([source.sha256, architecture, kernelFragment(), tools, REPRODUCIBLE]));
  // Debian's version is the kernel's with the package's revision behind it: 6.1.148-1.
  return { source, key, release: `${source.version.replace(/-[^-]*$/, "")}${LOCAL_VERSION}` };
}

/**
 * The compiled kernel; compiled now if the cache has none.
 *
 * @throws KataError `kernel-not-built` if an option is not to be had or the compiler fails.
 */
export async function buildContainerKernel(
  { source, key, release }: ContainerKernelInputs,
  architecture: string,
  cache: string,
  progress: (text: string) => void,
): Promise<ContainerKernel> {
  const directory = join(cache, `container-${key.slice(0, 16)}`);
  const built = { image: join(directory, "bzImage"), builtIn: join(directory, "modules.builtin") };
  if (existsSync(join(directory, "complete"))) return built;
  const unfinished = `${directory}.${process.pid}`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  try {
    progress(`unpacking ${source.name} ${source.version}`);
    const tree = await unpackSource(source, unfinished);
    const make = (...targets: string[]) => runMake(tree, architecture, targets);
    await make("tinyconfig");
    await writeFile(join(tree, "kata.config"), kernelFragment());
    await run("scripts/kconfig/merge_config.sh", ["-m", ".config", "kata.config"], { cwd: tree });
    await make("olddefconfig");
    const configuration = await readFile(join(tree, ".config"), "utf8");
    const unmet = unmetOptions(configuration, KERNEL_OPTIONS);
    if (unmet.length > 0) throw notBuilt("configure", `the kernel: ${unmet.join("; ")}`);
    progress(
      `compiling Linux ${release} (once, some ten minutes of two processors that have nothing else to do)`,
    );
    await make("bzImage");
    await copyFile(join(tree, "arch/x86/boot/bzImage"), join(unfinished, "bzImage"));
    await copyFile(join(tree, "modules.builtin"), join(unfinished, "modules.builtin"));
    await writeFile(join(unfinished, "config"), configuration);
    await rm(tree, { recursive: true });
    await writeFile(join(unfinished, "complete"), "");
    await rm(directory, { recursive: true, force: true });
    await rename(unfinished, directory);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
  return built;
}

async function unpackSource(source: BinaryPackage, into: string): Promise<string> {
  const archive = join(into, "package");
  await run("dpkg-deb", ["--extract", source.path, archive]);
  const tree = join(into, "tree");
  await mkdir(tree);
  const file = join(archive, "usr/src", `${SOURCE_PACKAGE}.tar.xz`);
  await run("tar", ["--extract", "--xz", "--strip-components=1", "--file", file, "--directory", tree]);
  await rm(archive, { recursive: true });
  return tree;
}

/** At low priority: whoever builds an image has other work on the machine. */
async function runMake(tree: string, architecture: string, targets: readonly string[]): Promise<void> {
  const jobs = `-j${availableParallelism()}`;
  const variables = [`ARCH=${KERNEL_ARCHITECTURES[architecture]}`];
  try {
    await run("nice", ["-n", "10", "make", "--silent", jobs, ...variables, ...targets], {
      cwd: tree,
      env: { PATH: process.env.PATH, HOME: tree, ...REPRODUCIBLE },
      timeout: COMPILE_DEADLINE_MS,
    });
  } catch (error) {
    throw notBuilt("compile", `the kernel: ${describeError(error).slice(-2000)}`);
  }
}

/** First lines of the compiler's and linker's `--version`: others may make other bytes. */
async function toolVersions(): Promise<string[]> {
  const packages = KERNEL_BUILD_PACKAGES.map(({ name }) => name);
  const installed = await run("dpkg-query", [
    "--show",
    `--showformat=\${db:Status-Status} \${Package}\n`,
    ...packages,
  ]).catch((error: unknown) => describeError(error));
  const missing = packages.filter((name) => !installed.includes(`installed ${name}\n`));
  if (missing.length > 0) {
    throw notBuilt(
      "compile",
      `the kernel without ${missing.join(", ")}`,
      `apt-get install ${missing.join(" ")}`,
    );
  }
  const versions = await Promise.all(["gcc", "ld", "as"].map((tool) => run(tool, ["--version"])));
  return versions.map((text) => text.split("\n", 1)[0] ?? "");
}

function notBuilt(operation: string, object: string, hint?: string): KataError {
  return new KataError("kernel-not-built", { operation, object, ...(hint === undefined ? {} : { hint }) });
}
