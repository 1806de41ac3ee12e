/**
 * `kata-pull`, the program in C that decompresses image layers and speaks TLS in the guest, for musl.
 *
 * Its libraries, zlib, zstd and Mbed TLS, come from Debian's source packages and are built once: `build/cache/pull/<architecture>/` has what
 * is needed of them.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { hasCode } from "../../src/kata-error.ts";
import { madeOnce } from "../apt/made-once.ts";
import { fetchSourcePackage } from "../apt/private-apt.ts";
import { run } from "./run.ts";

const ZSTD = { suite: "bookworm", name: "libzstd", version: "1.5.4+dfsg2-5" } as const;
const ZLIB = { suite: "bookworm", name: "zlib", version: "1:1.2.13.dfsg-1" } as const;
const MBEDTLS = { suite: "trixie", name: "mbedtls", version: "3.6.6-0.1~deb13u1" } as const;
/** What decompressing needs. */
const ZLIB_UNITS = ["adler32", "crc32", "inffast", "inflate", "inftrees", "zutil"];
/** The same of zstd, without its assembler and formats before 0.8. */
const ZSTD_UNITS = [
  "common/debug",
  "common/entropy_common",
  "common/error_private",
  "common/fse_decompress",
  "common/xxhash",
  "common/zstd_common",
  "decompress/huf_decompress",
  "decompress/zstd_ddict",
  "decompress/zstd_decompress",
  "decompress/zstd_decompress_block",
];
const ZSTD_FLAGS = ["-DZSTD_DISABLE_ASM", "-DZSTD_LEGACY_SUPPORT=0", "-DZSTD_STRIP_ERROR_STRINGS=0"];
const FLAGS = [
  "-std=gnu11",
  "-Os",
  "-ffunction-sections",
  "-fdata-sections",
  "-fno-asynchronous-unwind-tables",
  "-fstack-protector-strong",
  "-D_GNU_SOURCE",
];

/** Where it is built to. */
export const PULL_PROGRAM = "build/bin/kata-pull";

interface Libraries {
  readonly includes: readonly string[];
  readonly archives: readonly string[];
}

const SOURCES = "native/pull";
const PROGRAM_FLAGS = [
  ...FLAGS,
  "-Wall",
  "-Wextra",
  "-static",
  "-s",
  "-Wl,--gc-sections",
  "-Wl,-z,relro,-z,now,-z,noexecstack",
  "-Wl,--build-id=none",
];

/** Builds the program, unless the cache has it: it changes seldom. */
export async function buildPullProgram(root: string, progress: (text: string) => void): Promise<void> {
  const { includes, archives } = await libraries(root, progress);
  const files = (await readdir(join(root, SOURCES))).sort();
  const contents = await Promise.all(files.map((name) => readFile(join(root, SOURCES, name), "utf8")));
  const inputs = JSON.stringify([PROGRAM_FLAGS, archives, files, contents]);
  const key = createHash("sha256").update(inputs).digest("hex").slice(0, 16);
  const directory = await madeOnce(join(root, "build/cache/pull", `program-${key}`), (into) =>
    run("musl-gcc", [
      ...PROGRAM_FLAGS,
      ...includes.map((include) => `-I${include}`),
      ...files.filter((name) => name.endsWith(".c")).map((name) => join(root, SOURCES, name)),
      ...archives,
      "-o",
      join(into, "kata-pull"),
    ]),
  );
  const unfinished = join(root, `${PULL_PROGRAM}.${process.pid}`);
  await mkdir(join(root, "build/bin"), { recursive: true });
  await copyFile(join(directory, "kata-pull"), unfinished);
  await rename(unfinished, join(root, PULL_PROGRAM));
}

async function libraries(root: string, progress: (text: string) => void): Promise<Libraries> {
  const key = createHash("sha256")
    .update(JSON.stringify([ZLIB, ZSTD, MBEDTLS, ZLIB_UNITS, ZSTD_UNITS, ZSTD_FLAGS, FLAGS]))
    .digest("hex")
    .slice(0, 16);
  const directory = join(root, "build/cache/pull", `${process.arch}-${key}`);
  const built: Libraries = {
    includes: [join(directory, "mbedtls/include"), join(directory, "zlib"), join(directory, "libzstd/lib")],
    archives: ["libmbedtls.a", "libz.a", "libzstd.a"].map((name) => join(directory, name)),
  };
  if (existsSync(join(directory, "complete"))) return built;
  progress("building zlib, zstd and Mbed TLS (once, about a minute)");
  const unfinished = `${directory}.${process.pid}`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  for (const request of [ZLIB, ZSTD, MBEDTLS]) {
    await rename(await fetchSource(request, unfinished, progress), join(unfinished, request.name));
  }
  const zlib = ZLIB_UNITS.map((unit) => join(unfinished, "zlib", `${unit}.c`));
  await archive(unfinished, "libz.a", zlib, []);
  const zstd = ZSTD_UNITS.map((unit) => join(unfinished, "libzstd/lib", `${unit}.c`));
  await archive(unfinished, "libzstd.a", zstd, ZSTD_FLAGS);
  const library = join(unfinished, "mbedtls/library");
  const units = (await readdir(library)).filter((name) => name.endsWith(".c")).sort();
  await archive(
    unfinished,
    "libmbedtls.a",
    units.map((name) => join(library, name)),
    [`-I${join(unfinished, "mbedtls/include")}`, `-I${library}`],
  );
  await writeFile(join(unfinished, "complete"), "");
  await rm(directory, { recursive: true, force: true });
  await rename(unfinished, directory);
  return built;
}

/** The version that was tried, or the suite's newest: security updates take the place of older ones in the archive. */
async function fetchSource(
  request: typeof ZLIB | typeof ZSTD | typeof MBEDTLS,
  into: string,
  progress: (text: string) => void,
): Promise<string> {
  try {
    return await fetchSourcePackage({ ...request, into });
  } catch (error) {
    if (!hasCode(error, "package-not-fetched")) throw error;
    const { suite, name, version } = request;
    progress(`${name} ${version} is not in ${suite} any more: taking its newest`);
    return await fetchSourcePackage({ suite, name, into });
  }
}

/** Compiles `sources` into `directory`/`name`, as many at once as there are processors. */
async function archive(
  directory: string,
  name: string,
  sources: readonly string[],
  flags: readonly string[],
): Promise<void> {
  const objects = sources.map((_source, index) => join(directory, `${name}-${index}.o`));
  const waiting = sources.map((source, index) => ({ source, object: objects[index] ?? "" }));
  const worker = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      await run("musl-gcc", [...FLAGS, ...flags, "-c", next.source, "-o", next.object]);
    }
  };
  await Promise.all(Array.from({ length: cpus().length }, worker));
  await run("ar", ["rcs", join(directory, name), ...objects]);
  await Promise.all(objects.map((object) => rm(object)));
}
