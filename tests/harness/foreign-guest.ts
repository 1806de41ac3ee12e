/**
 * What a guest of another architecture than this machine's needs, from Debian's packages: its emulator, and programs that run in it.
 * They are unpacked once below `build/cache/foreign`, never installed.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fetchBinaryPackage } from "../../scripts/apt/private-apt.ts";
import { mustRun } from "./command.ts";

/** Directory of the unpacked packages, each under its name. */
export const CACHE = join(import.meta.dirname, "../../build/cache/foreign");
/** The one whose QEMU goes with the common files that are installed. */
const SUITE = "bookworm";

/** Where {@link fetchForeignGuest} puts them. */
export const AARCH64_QEMU = join(CACHE, "qemu-system-arm/usr/bin/qemu-system-aarch64");
export const AARCH64_BUSYBOX = join(CACHE, "busybox-static/bin/busybox");

/** Fetches what is not there yet. */
export async function fetchForeignGuest(): Promise<void> {
  await unpackOnce("qemu-system-arm", undefined, AARCH64_QEMU);
  await unpackOnce("busybox-static", "arm64", AARCH64_BUSYBOX);
}

/** Unpacks a package below the cache unless `program`, a file of it, is there already. */
export async function unpackOnce(
  name: string,
  architecture: string | undefined,
  program: string,
): Promise<void> {
  if (existsSync(program)) return;
  const request = { suite: SUITE, name };
  const fetched = await fetchBinaryPackage(
    architecture === undefined ? request : { ...request, architecture },
  );
  await mkdir(CACHE, { recursive: true });
  const unfinished = await mkdtemp(join(CACHE, `.${name}-`));
  try {
    await mustRun("dpkg-deb", ["--extract", fetched.path, unfinished]);
    await rename(unfinished, join(CACHE, name));
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  if (!existsSync(program)) throw new Error(`${name} ${fetched.version} has no ${dirname(program)}`);
}
