/**
 * Packages of any Debian suite, fetched and verified by apt beside the machine's own set-up.
 *
 * apt gets source lists, package lists, cache and dpkg status of its own below `build/cache/apt`, so nothing of the
 * user's is read (apart from the mirror's address, its key, and apt.conf with its proxies) or changed, nothing is
 * installed, and no root is needed. Trust is apt's: the release file's signature, then hashes down to each file.
 * Source: apt.conf(5), apt-get(8), apt-secure(8).
 */
import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describeError, KataError } from "../../src/kata-error.ts";
import { run } from "../build/run.ts";
import { type AptSource, parseDeb822, parseListFile, parseSourcesFile, type Stanza } from "./apt-sources.ts";
import { findDebianMirror, type PackageKind, sourceListOf } from "./debian-mirror.ts";

const CACHE = join(dirname(fileURLToPath(import.meta.url)), "../../build/cache/apt");

/** Debian's own keyring, under the names that its releases have used. */
const DEBIAN_KEYRINGS = ["pgp", "gpg"].map((type) => `/usr/share/keyrings/debian-archive-keyring.${type}`);

/** Package lists older than this are fetched again before the newest version of something is looked for, ms. */
const LISTS_FRESH_MS = 24 * 3600 * 1000;

/** A failure with lists newer than this is not their fault, ms. */
const RETRY_AGE_MS = 5 * 60 * 1000;

/** A mirror that hangs must not hang the build; the largest fetch here is some 100 MB, ms. */
const APT_DEADLINE_MS = 20 * 60 * 1000;

/** Another build may be fetching the same lists: waited for this long, s. */
const LOCK_TIMEOUT_S = 600;

export interface PackageRequest {
  /** Suite or code name: `bookworm`, `trixie`, `sid`. */
  readonly suite: string;
  readonly name: string;
  /** Exact version; without it the suite's newest. */
  readonly version?: string;
  /** Debian's name of the architecture; the machine's own without it. Source packages have none. */
  readonly architecture?: string;
}

export interface BinaryPackage {
  /** The `.deb`, in the cache. */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Of the file, as the signed package list has it. */
  readonly sha256: string;
}

/**
 * Fetches a source package and unpacks it, with Debian's patches applied.
 *
 * @param request.into directory for the unpacked source; made if missing.
 * @returns the unpacked directory, `into`/`name`-`upstream version`.
 * @throws KataError `package-not-fetched` if the suite has no such package or version, the mirror does not answer, or a
 *   signature or hash is wrong.
 */
export async function fetchSourcePackage(
  request: Omit<PackageRequest, "architecture"> & { readonly into: string },
): Promise<string> {
  const apt = await privateApt("deb-src", request);
  const { into } = request;
  await mkdir(into, { recursive: true });
  const files = await mkdtemp(join(into, ".source-"));
  try {
    await freshIfUnpinned(apt, request);
    await retriedWithFreshLists(apt, () =>
      apt.run("apt-get", ["source", "--download-only", "--only-source", selector(request)], files),
    );
    const description = (await readdir(files)).find((name) => name.endsWith(".dsc"));
    if (description === undefined) throw new Error("apt fetched no .dsc file");
    const version = sourceVersion(await readFile(join(files, description), "utf8"));
    const unpacked = join(into, `${request.name}-${version.replace(/^\d+:/, "").replace(/-[^-]*$/, "")}`);
    await rm(unpacked, { recursive: true, force: true });
    // The maintainer's signature in the .dsc is not what is trusted here: apt has compared its hash with the signed list.
    await run("dpkg-source", ["--no-check", "--no-copy", "--extract", join(files, description), unpacked]);
    return unpacked;
  } catch (error) {
    throw notFetched("source package", request, error);
  } finally {
    await rm(files, { recursive: true, force: true });
  }
}

/**
 * Fetches a binary package; it is not unpacked. A file that is in the cache and still has the right hash is not fetched again.
 *
 * @throws KataError `package-not-fetched` if the suite has no such package or version, the mirror does not answer, or a
 *   signature or hash is wrong.
 */
export async function fetchBinaryPackage(request: PackageRequest): Promise<BinaryPackage> {
  try {
    const record = await packageRecord(request);
    const identity = {
      name: field(record, "package"),
      version: field(record, "version"),
      architecture: field(record, "architecture"),
      sha256: field(record, "sha256"),
    };
    const path = join(CACHE, "packages", `${identity.sha256}-${basename(field(record, "filename"))}`);
    if (existsSync(path) && (await sha256OfFile(path)) === identity.sha256) return { ...identity, path };
    const apt = await privateApt("deb", request);
    await mkdir(dirname(path), { recursive: true });
    const unfinished = await mkdtemp(join(dirname(path), ".fetch-"));
    try {
      await retriedWithFreshLists(apt, () =>
        apt.run("apt-get", ["download", `${identity.name}=${identity.version}`], unfinished),
      );
      const [file] = await readdir(unfinished);
      if (file === undefined) throw new Error("apt fetched no file");
      await rename(join(unfinished, file), path);
    } finally {
      await rm(unfinished, { recursive: true, force: true });
    }
    return { ...identity, path };
  } catch (error) {
    throw notFetched("package", request, error);
  }
}

/**
 * What the suite's package list says of a package: `depends`, `version` and so on, field names in lower case.
 *
 * @throws KataError `package-not-fetched` as {@link fetchBinaryPackage}.
 */
export async function packageRecord(request: PackageRequest): Promise<Stanza> {
  try {
    const apt = await privateApt("deb", request);
    await freshIfUnpinned(apt, request);
    const shown = await retriedWithFreshLists(apt, () =>
      apt.run("apt-cache", ["show", "--no-all-versions", selector(request)]),
    );
    const [record] = parseDeb822(shown);
    if (record === undefined) throw new Error("the package list does not name it");
    return record;
  } catch (error) {
    throw notFetched("package", request, error);
  }
}

interface PrivateApt {
  /** Runs one of apt's programs with the private directories; one at a time among all builds. */
  run(program: "apt-get" | "apt-cache", args: readonly string[], cwd?: string): Promise<string>;
  /** Fetches the package lists anew. */
  update(): Promise<void>;
  /** Age of the package lists, ms; infinite if there are none. */
  age(): Promise<number>;
}

async function privateApt(kind: PackageKind, request: PackageRequest): Promise<PrivateApt> {
  const architecture = request.architecture ?? (await run("dpkg", ["--print-architecture"])).trim();
  const mirror = findDebianMirror(
    await machineSources(),
    await machineRelease(),
    DEBIAN_KEYRINGS.filter(existsSync),
  );
  const sources = sourceListOf(mirror, request.suite, kind);
  // Lists of another mirror, key or architecture are other lists.
  const key = createHash("sha256").update(`${architecture}\n${sources}`).digest("hex").slice(0, 12);
  const home = join(CACHE, `${request.suite}-${kind}-${key}`);
  await mkdir(join(home, "lists/partial"), { recursive: true });
  await mkdir(join(home, "archives/partial"), { recursive: true });
  await mkdir(join(home, "sources"), { recursive: true });
  await replaceFile(join(home, "sources/debian.sources"), sources);
  await replaceFile(join(home, "status"), "");
  await replaceFile(join(home, "apt.conf"), configuration(home, architecture));
  const lock = ["--no-fork", "--timeout", `${LOCK_TIMEOUT_S}`, join(home, "lock")];
  const apt: PrivateApt = {
    run: (program, args, cwd = home) =>
      run("flock", [...lock, program, "--config-file", join(home, "apt.conf"), ...args], {
        cwd,
        env: { ...process.env, LC_ALL: "C.UTF-8" },
        timeout: APT_DEADLINE_MS,
      }),
    async update() {
      await apt.run("apt-get", ["update"]);
      await writeFile(join(home, "updated"), "");
    },
    async age() {
      const updated = await stat(join(home, "updated")).catch(() => undefined);
      return updated === undefined ? Number.POSITIVE_INFINITY : Date.now() - updated.mtimeMs;
    },
  };
  return apt;
}

/** Whole or not at all: another build's apt may be reading the same file. */
async function replaceFile(path: string, text: string): Promise<void> {
  const unfinished = `${path}.${process.pid}.${randomUUID()}`;
  await writeFile(unfinished, text);
  await rename(unfinished, path);
}

/** Read by apt after the machine's own apt.conf, so it has the last word. */
function configuration(home: string, architecture: string): string {
  const settings = {
    "Dir::State": home,
    "Dir::State::Lists": join(home, "lists"),
    "Dir::State::Status": join(home, "status"),
    "Dir::Cache": home,
    "Dir::Cache::Archives": join(home, "archives"),
    // A Docker image's apt.conf has none, which costs a second at each call.
    "Dir::Cache::pkgcache": "pkgcache.bin",
    "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
    "Dir::Etc::SourceList": "/dev/null",
    "Dir::Etc::SourceParts": join(home, "sources"),
    "Dir::Etc::Preferences": "/dev/null",
    "Dir::Etc::PreferencesParts": "/dev/null",
    "APT::Architecture": architecture,
    "APT::Architectures": architecture,
    // A list that cannot be fetched is otherwise only a warning.
    "APT::Update::Error-Mode": "any",
    "Acquire::Languages": "none",
    "Acquire::Retries": "3",
    "Acquire::AllowInsecureRepositories": "false",
    "APT::Get::AllowUnauthenticated": "false",
  };
  // The machine's hooks (a Docker image's clean its apt cache) are about its own lists.
  const cleared = ["APT::Architectures", "APT::Update::Pre-Invoke", "APT::Update::Post-Invoke"];
  return [
    ...[...cleared, "APT::Update::Post-Invoke-Success"].map((name) => `#clear ${name};`),
    ...Object.entries(settings).map(([name, value]) => `${name} "${value}";`),
    "",
  ].join("\n");
}

/** A version that is named stays what it is, so its lists may be of any age; the newest one needs new lists. */
async function freshIfUnpinned(apt: PrivateApt, request: PackageRequest): Promise<void> {
  const age = await apt.age();
  if (age === Number.POSITIVE_INFINITY) return apt.update();
  if (request.version !== undefined || age < LISTS_FRESH_MS) return;
  try {
    await apt.update();
  } catch (error) {
    const days = Math.floor(age / (24 * 3600 * 1000));
    console.error(`${aptComplaint(error)}: going on with package lists that are ${days} days old`);
  }
}

/** Old lists name versions that the archive has replaced and removed. */
async function retriedWithFreshLists<T>(apt: PrivateApt, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if ((await apt.age()) < RETRY_AGE_MS) throw error;
    await apt.update();
    return work();
  }
}

/** The entries of the source lists that apt reads on this machine. */
async function machineSources(): Promise<AptSource[]> {
  const shell = await run("apt-config", [
    "shell",
    "LIST",
    "Dir::Etc::sourcelist/f",
    "PARTS",
    "Dir::Etc::sourceparts/d",
  ]);
  const place = (name: string) => new RegExp(`^${name}='(.*)'$`, "m").exec(shell)?.[1] ?? "";
  const parts = place("PARTS");
  const names = existsSync(parts) ? (await readdir(parts)).sort() : [];
  const files = [place("LIST"), ...names.map((name) => join(parts, name))];
  const sources: AptSource[] = [];
  for (const file of files) {
    const parse = file.endsWith(".sources")
      ? parseSourcesFile
      : file.endsWith(".list")
        ? parseListFile
        : undefined;
    if (parse !== undefined && existsSync(file)) sources.push(...parse(await readFile(file, "utf8")));
  }
  return sources;
}

/** Code name of the machine's release. Source: os-release(5). */
async function machineRelease(): Promise<string> {
  const release = /^VERSION_CODENAME="?([\w-]+)"?$/m.exec(await readFile("/etc/os-release", "utf8"));
  return release?.[1] ?? "stable";
}

function selector({ name, version }: PackageRequest): string {
  return version === undefined ? name : `${name}=${version}`;
}

function field(record: Stanza, name: string): string {
  const value = record.get(name);
  if (value === undefined) throw new Error(`the package list gives no ${name}`);
  return value;
}

/** The version of a .dsc, which may stand within a clear-signed message. */
function sourceVersion(description: string): string {
  const stanza = parseDeb822(description).find((fields) => fields.has("source"));
  if (stanza === undefined) throw new Error("the .dsc file names no source");
  return field(stanza, "version");
}

async function sha256OfFile(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

function notFetched(kind: string, request: PackageRequest, cause: unknown): KataError {
  if (cause instanceof KataError) return cause;
  return new KataError("package-not-fetched", {
    operation: `fetch Debian ${kind}`,
    object: `${selector(request)} of ${request.suite}: ${aptComplaint(cause)}`,
    cause,
  });
}

/** apt's first error line, or the whole message of something else. */
function aptComplaint(error: unknown): string {
  const message = describeError(error);
  return /^E: (.*)$/m.exec(message)?.[1] ?? message.trimEnd();
}
