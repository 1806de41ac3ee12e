/** Where the guest's kernel comes from, and what every source gives. */
import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { madeOnce } from "../../scripts/apt/made-once.ts";
import { type BinaryPackage, fetchBinaryPackage, packageRecord } from "../../scripts/apt/private-apt.ts";
import { run } from "../../scripts/build/run.ts";
import { KataError } from "../kata-error.ts";
import { buildContainerKernel, containerKernelInputs } from "./container-kernel/build-kernel.ts";
import type { ModuleCatalog } from "./kernel-modules.ts";
import { type ModuleInfo, moduleName, readModuleInfo } from "./module-info.ts";

/** A kernel to be had. */
export interface KernelSource {
  /** Debian's kernel for clouds as it is, or the kernel for containers, compiled from Debian's source. */
  readonly kind: "debian-package" | "container-kernel";
  /** Suite or code name of the Debian release. */
  readonly suite: string;
  /** Debian's name of the guest's architecture. */
  readonly architecture: string;
}

/** Which kernel it will be, known before it is unpacked. */
export interface KernelIdentity {
  /** What `uname -r` says in the guest. */
  readonly release: string;
  readonly package: string;
  readonly version: string;
  /** Of all that is fetched and, for one that is compiled, of its options and its compiler. */
  readonly sha256: string;
}

export interface ModuleFile extends ModuleInfo {
  /** Relative to the directory of the kernel's modules: `kernel/fs/fuse/fuse.ko`. */
  readonly path: string;
  readonly data: Uint8Array;
}

export interface GuestKernel {
  /** What boot loaders take: a bzImage on amd64, an Image on arm64. */
  readonly image: Uint8Array;
  readonly modules: ModuleCatalog<ModuleFile>;
}

/** A kernel that has been fetched. */
export interface FetchedKernel {
  readonly identity: KernelIdentity;
  /** Unpacks and reads it; compiles it if that has not been done. */
  open(): Promise<GuestKernel>;
}

/** Debian's kernel for virtual machines in clouds: few drivers, most of them modules. */
const META_PACKAGE = "linux-image-cloud-";

/**
 * Fetches the newest kernel of `source`.
 *
 * @param cache directory in which unpacked and compiled kernels are kept.
 * @throws KataError `package-not-fetched` if there is none or it cannot be fetched; `kernel-not-built` if it cannot be compiled here.
 */
export async function fetchKernel(source: KernelSource, cache: string): Promise<FetchedKernel> {
  const { suite, architecture } = source;
  if (source.kind === "container-kernel") return await fetchContainerKernel(suite, architecture, cache);
  const meta = { suite, architecture, name: `${META_PACKAGE}${architecture}` };
  const depends = (await packageRecord(meta)).get("depends") ?? "";
  const dependency = /\b(linux-image-(\d\S*))\s+\(=\s*([^)\s]+)\)/.exec(depends);
  const [, name, release, version] = dependency ?? [];
  if (name === undefined || release === undefined || version === undefined) {
    throw new KataError("package-not-fetched", {
      operation: "find the kernel package",
      object: `${meta.name} of ${suite} depends on ${depends || "nothing"}`,
    });
  }
  const fetched = await fetchBinaryPackage({ suite, architecture, name, version });
  return {
    identity: { release, package: name, version: fetched.version, sha256: fetched.sha256 },
    open: () => openDebianKernel(fetched, release, cache),
  };
}

async function fetchContainerKernel(
  suite: string,
  architecture: string,
  cache: string,
): Promise<FetchedKernel> {
  const inputs = await containerKernelInputs(suite, architecture);
  const { source, key, release } = inputs;
  return {
    identity: { release, package: source.name, version: source.version, sha256: key },
    async open() {
      const built = await buildContainerKernel(inputs, architecture, cache, (text) => console.error(text));
      return {
        image: await readFile(built.image),
        // It has everything in it.
        modules: { builtIn: await readBuiltIn(built.builtIn), find: () => undefined },
      };
    },
  };
}

async function openDebianKernel(
  fetched: BinaryPackage,
  release: string,
  cache: string,
): Promise<GuestKernel> {
  const directory = await unpackPackage(fetched, cache);
  return {
    image: await readFile(join(directory, "boot", `vmlinuz-${release}`)),
    modules: await readModules(join(directory, "lib/modules", release)),
  };
}

/**
 * The contents of a package as a directory, unpacked once.
 *
 * @param cache directory in which it is kept under the package's hash.
 */
export async function unpackPackage(fetched: BinaryPackage, cache: string): Promise<string> {
  const directory = join(cache, `${fetched.name}-${fetched.sha256.slice(0, 16)}`);
  return await madeOnce(directory, (unfinished) => run("dpkg-deb", ["--extract", fetched.path, unfinished]));
}

/** The modules below `directory`; a module's file is read when it is looked for. */
async function readModules(directory: string): Promise<ModuleCatalog<ModuleFile>> {
  const files = (await readdir(directory, { recursive: true })).filter((path) => path.endsWith(".ko"));
  const paths = new Map(files.map((path) => [nameOfPath(path), path]));
  return {
    builtIn: await readBuiltIn(join(directory, "modules.builtin")),
    find(name) {
      const path = paths.get(name);
      if (path === undefined) return undefined;
      const data = readFileSync(join(directory, path));
      return { ...readModuleInfo(data, path), path, data };
    },
  };
}

async function readBuiltIn(path: string): Promise<ReadonlySet<string>> {
  const lines = (await readFile(path, "utf8")).split("\n");
  return new Set(lines.filter((line) => line !== "").map(nameOfPath));
}

/** `kernel/fs/fuse/fuse.ko` is `fuse`. */
function nameOfPath(path: string): string {
  return moduleName(path.slice(path.lastIndexOf("/") + 1).replace(/\.ko$/, ""));
}
