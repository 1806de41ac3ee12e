import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Fills a directory of a cache once, also when several processes want it at the same time: whoever is first keeps it.
 *
 * @param directory whole or not there at all.
 * @param fill writes the contents into the empty directory that it is given.
 * @returns `directory`.
 */
export async function madeOnce(
  directory: string,
  fill: (unfinished: string) => Promise<unknown>,
): Promise<string> {
  if (existsSync(directory)) return directory;
  await mkdir(dirname(directory), { recursive: true });
  const unfinished = `${directory}.${randomUUID()}`;
  try {
    await mkdir(unfinished);
    await fill(unfinished);
    await rename(unfinished, directory);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    if (!isTaken(error)) throw error;
  }
  return directory;
}

/** rename(2): the new path is a directory that is not empty, so another process has been quicker. */
function isTaken(error: unknown): boolean {
  const code = error instanceof Error && "syscall" in error && error.syscall === "rename" && "code" in error;
  return code && (error.code === "ENOTEMPTY" || error.code === "EEXIST");
}
