/** Installs the Debian packages that are missing. Run by scripts/setup.sh. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { promisify } from "node:util";
import { DEBIAN_PACKAGES } from "./debian-packages.ts";

const run = promisify(execFile);

/** Where apt keeps what the archives offer; a bare machine has nothing there. */
const APT_LISTS = "/var/lib/apt/lists";

/** Another apt may be at work, as on a machine that has just booted: waited for this long, s. */
const LOCK_TIMEOUT_S = 300;

const MAX_OUTPUT_BYTES = 64 << 20;

async function main(): Promise<void> {
  if (!existsSync("/usr/bin/dpkg-query")) {
    throw new Error("set up: this machine has no dpkg (the project is built and tested on Debian 12)");
  }
  const missing = await missingPackages(DEBIAN_PACKAGES.map(({ name }) => name));
  const listsMissing = !hasPackageLists();
  if (missing.length === 0 && !listsMissing) return;
  if (process.getuid?.() !== 0) {
    throw new Error(`set up: run as root to install ${missing.join(", ") || "apt's package lists"}`);
  }
  // The images are made from the archive too, so its lists are needed even if no package is.
  if (listsMissing) await apt("reading what Debian's archive offers", ["update"]);
  if (missing.length === 0) return;
  const install = ["install", "--yes", "--no-install-recommends", ...missing];
  const what = `installing ${missing.join(", ")}`;
  try {
    await apt(what, install);
  } catch (error) {
    // Lists older than the archive name files that are no longer there.
    console.error(`${error instanceof Error ? error.message : error}\ntrying again with fresh package lists`);
    await apt("reading what Debian's archive offers", ["update"]);
    await apt(what, install);
  }
}

async function missingPackages(names: readonly string[]): Promise<readonly string[]> {
  const format = `--showformat=\${db:Status-Status} \${Package}\n`;
  // It exits with 1 if it has never heard of one of them, and tells of the others all the same.
  const listed = await run("dpkg-query", ["--show", format, ...names]).catch((error: unknown) => {
    const { code, stdout } = error as { code?: unknown; stdout?: string };
    if (code === 1 && stdout !== undefined) return { stdout };
    throw error;
  });
  const lines = new Set(listed.stdout.split("\n"));
  return names.filter((name) => !lines.has(`installed ${name}`));
}

function hasPackageLists(): boolean {
  return existsSync(APT_LISTS) && readdirSync(APT_LISTS).some((name) => /_Packages(\.\w+)?$/.test(name));
}

async function apt(what: string, args: readonly string[]): Promise<void> {
  console.error(what);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const lock = ["-o", `DPkg::Lock::Timeout=${LOCK_TIMEOUT_S}`, "--quiet"];
  await run("apt-get", [...lock, ...args], { env, maxBuffer: MAX_OUTPUT_BYTES });
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
