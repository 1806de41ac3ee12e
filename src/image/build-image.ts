/** `npm run image`: the guest's kernel and initial file system. `--help` tells the rest. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { fetchBinaryPackage } from "../../scripts/apt/private-apt.ts";
import { describeError, KataError } from "../kata-error.ts";
import { AgentPolicy } from "../policy/agent-policy/agent-policy.ts";
import { DEFAULT_POLICIES } from "../policy/agent-policy/default-policies.ts";
import { type GuestArchitecture, type ImageOptions, parseArguments, USAGE } from "./arguments.ts";
import { vmlinuxOf } from "./bz-image.ts";
import { type CpioEntry, cpioArchive } from "./cpio.ts";
import { elfArchitecture, elfSegments, PT_INTERP } from "./elf.ts";
import { FOR_ROOT_DISK, GUEST_MODULES } from "./guest-modules.ts";
import { currentManifest, type ImageManifest, MANIFEST_FILE, sha256 } from "./image-manifest.ts";
import { initrdEntries } from "./initrd.ts";
import { type ResolvedModule, resolveModules } from "./kernel-modules.ts";
import { fetchKernel, type ModuleFile, unpackPackage } from "./kernel-source.ts";
import { moduleName } from "./module-info.ts";
import { rootDisk } from "./root-disk.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
const CACHE = join(HERE, "../../build/cache/kernel");

/** Its kernel is the one that the project is tested with. */
const SUITE = "bookworm";

/** Debian's names. */
const DEBIAN_ARCHITECTURES: Readonly<Record<GuestArchitecture, string>> = {
  x86_64: "amd64",
  aarch64: "arm64",
};

async function main(args: readonly string[]): Promise<void> {
  const command = parseArguments(args);
  switch (command.do) {
    case "help":
      process.stdout.write(USAGE);
      return;
    case "build": {
      const manifest = await buildImage(command.options);
      process.stdout.write(
        command.options.json ? jsonOf(manifest) : summaryOf(manifest, command.options.output),
      );
    }
  }
}

/** Makes what is not current yet. @returns the manifest of what is there now. */
async function buildImage(options: ImageOptions): Promise<ImageManifest> {
  const architecture = DEBIAN_ARCHITECTURES[options.architecture];
  const agent = await readAgent(options.agent, architecture);
  const pullProgram = await readPullProgram(options.agent);
  await mkdir(CACHE, { recursive: true });
  const kind = options.containerKernel ? "container-kernel" : "debian-package";
  const fetched = await fetchKernel({ kind, suite: SUITE, architecture }, CACHE);
  const shell = options.debugShell
    ? await fetchBinaryPackage({ suite: SUITE, architecture, name: "busybox-static" })
    : undefined;

  const policy = options.policy === undefined ? undefined : await readPolicy(options.policy);
  const authorities =
    options.authorities === undefined ? undefined : await readFile(options.authorities, "utf8");
  const hashes = {
    agent: sha256(agent),
    pullProgram: pullProgram === undefined ? null : sha256(pullProgram),
    kernel: fetched.identity.sha256,
    shell: shell?.sha256 ?? null,
    policy: policy ?? null,
    authorities: authorities ?? null,
  };
  const inputs = sha256(JSON.stringify([hashes, architecture, options.verity, await builderHash()]));
  const current = options.force ? undefined : await currentManifest(options.output, inputs);
  if (current !== undefined) {
    console.error(`${options.output} is up to date (--force builds it again)`);
    return current;
  }

  console.error(`unpacking ${fetched.identity.package} ${fetched.identity.version}`);
  const kernel = await fetched.open();
  const modules = resolveModules(GUEST_MODULES, kernel.modules);
  const debugShell =
    shell === undefined ? undefined : await readFile(join(await unpackPackage(shell, CACHE), "bin/busybox"));
  const vmlinux = architecture === "amd64" ? vmlinuxOf(kernel.image) : undefined;
  const entries = initrdEntries({ agent, pullProgram, authorities, modules, debugShell, policy });
  const files: [name: string, data: Uint8Array][] = [
    ["vmlinuz", kernel.image],
    ...(vmlinux === undefined ? [] : ([["vmlinux", vmlinux]] satisfies [string, Uint8Array][])),
    // Not compressed: measured under emulation, gzip costs the boot 100 ms, zstd 300, and lz4 gains nothing that shows;
    // and a compressor's version would decide over the bytes.
    ["initrd", cpioArchive(entries)],
    ...(options.verity
      ? verifiedFiles(entries, agent, resolveModules(ROOT_MODULES, kernel.modules), inputs)
      : []),
  ];
  const moments = new Map(GUEST_MODULES.map(({ name, load }) => [moduleName(name), load]));
  const manifest: ImageManifest = {
    inputs,
    architecture,
    kernel: fetched.identity,
    agent: { bytes: agent.length, sha256: hashes.agent },
    debugShell: options.debugShell,
    outputs: files.map(([name, data]) => ({ name, bytes: data.length, sha256: sha256(data) })),
    modules: modules.map(({ module: { name, data } }) => ({
      name,
      load: moments.get(name) ?? "dependency",
      bytes: data.length,
    })),
  };
  await publish(options.output, [...files, [MANIFEST_FILE, jsonOf(manifest)]]);
  return manifest;
}

/** The program beside the agent by which it pulls images; a guest without it leaves that to others. */
async function readPullProgram(agent: string): Promise<Uint8Array | undefined> {
  const path = join(dirname(agent), "kata-pull");
  return existsSync(path) ? await readFile(path) : undefined;
}

/** What a kernel needs before it has a root disk. */
const ROOT_MODULES = GUEST_MODULES.filter(({ name }) => FOR_ROOT_DISK.has(name));

/** A root disk with the same content, and the archive that opens it. */
function verifiedFiles(
  entries: readonly CpioEntry[],
  agent: Uint8Array,
  modules: readonly ResolvedModule<ModuleFile>[],
  inputs: string,
): [name: string, data: Uint8Array][] {
  const { disk, verityParameters } = rootDisk(entries, inputs);
  const opener = initrdEntries({
    agent,
    pullProgram: undefined,
    authorities: undefined,
    modules,
    debugShell: undefined,
    policy: undefined,
  });
  return [
    ["image", disk],
    ["initrd-verity", cpioArchive(opener)],
    ["verity-params", new TextEncoder().encode(`${verityParameters}\n`)],
  ];
}

/** @throws KataError if it is missing or could not run as the guest's first process. */
async function readAgent(path: string, architecture: string): Promise<Uint8Array> {
  const refuse = (code: string, object: string, hint: string) =>
    new KataError(code, { operation: "read the agent", object: `${path}${object}`, hint });
  const agent = await readFile(path).catch((error: unknown) => {
    const why = error instanceof Error && "code" in error ? `: ${error.code}` : `: ${describeError(error)}`;
    throw refuse(
      "no-agent",
      why,
      "build it with `npm run build` (for another architecture `npm run build -- --arch ARCH`), or name another with --agent",
    );
  });
  const built = elfArchitecture(agent, path);
  if (built !== architecture) throw refuse("wrong-agent", ` is for ${built}`, `the guest is ${architecture}`);
  if (elfSegments(agent, path).some(({ type }) => type === PT_INTERP)) {
    throw refuse("wrong-agent", " is linked dynamically", "the guest has no libraries: link it with -static");
  }
  return agent;
}

/** @throws KataError if there is none of this name, or the agent could not load it. */
async function readPolicy(nameOrFile: string): Promise<string> {
  const text = Object.entries(DEFAULT_POLICIES).find(([name]) => name === nameOrFile)?.[1];
  if (text !== undefined) return text;
  const read = await readFile(nameOrFile, "utf8").catch((error: unknown) => {
    throw new KataError("no-policy", {
      operation: "read policy",
      object: `${nameOrFile}: ${describeError(error)}`,
      hint: `it is a file, or one of ${Object.keys(DEFAULT_POLICIES).join(", ")}`,
    });
  });
  AgentPolicy.load(read);
  return read;
}

/** Of the sources of this room: another builder may make other bytes of the same inputs. */
async function builderHash(): Promise<string> {
  const names = (await readdir(HERE))
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .sort();
  return sha256(...(await Promise.all(names.map((name) => readFile(join(HERE, name))))));
}

/** Each file appears whole or not at all, and the last one, the manifest, only after the others. */
async function publish(
  directory: string,
  files: readonly (readonly [string, Uint8Array | string])[],
): Promise<void> {
  await mkdir(directory, { recursive: true });
  // Until the new manifest is there, none is right.
  await rm(join(directory, MANIFEST_FILE), { force: true });
  for (const [name, data] of files) {
    const unfinished = join(directory, `.${name}.${process.pid}`);
    try {
      await writeFile(unfinished, data);
      await rename(unfinished, join(directory, name));
    } finally {
      await rm(unfinished, { force: true });
    }
  }
}

function jsonOf(manifest: ImageManifest): string {
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

function summaryOf({ kernel, outputs, modules }: ImageManifest, directory: string): string {
  const rows = outputs.map(({ name, bytes, sha256: hash }) => {
    const size = `${(bytes / (1 << 20)).toFixed(1)} MiB`;
    return `${join(directory, name).padEnd(24)} ${size.padStart(9)}  sha256:${hash}\n`;
  });
  return `${rows.join("")}kernel ${kernel.release} (${kernel.version}), ${modules.length} modules\n`;
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`image: ${describeError(error)}`);
  process.exitCode = 1;
});
