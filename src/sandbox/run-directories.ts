/** Making and removing the directories of a sandbox, together with parents that only we use. */
import { hasErrno, KataError } from "../kata-error.ts";
import { mkdirAll, mkdirIfMissing, removeTree, rmdirIfExists } from "../sys/files.ts";
import type { SandboxPaths } from "./sandbox-paths.ts";

/** Another sandbox's end may remove an empty parent between our making it and using it. */
const TRIES = 5;

/** @throws KataError `already-exists` if a sandbox of this id has left its directory: it runs, or needs cleaning up. */
export function makeRunDirectories(paths: SandboxPaths): void {
  makeBelowSharedParent(paths.run);
  try {
    makeBelowSharedParent(paths.share);
  } catch (error) {
    removeWithParents(paths.run);
    throw error;
  }
}

function makeBelowSharedParent(path: string): void {
  for (let tries = 1; ; tries++) {
    mkdirAll(path.slice(0, path.lastIndexOf("/")), 0o755);
    try {
      if (mkdirIfMissing(path, 0o700)) return;
      throw new KataError("already-exists", {
        operation: "make directory of sandbox",
        object: path,
        hint: "a sandbox of this id is running, or its shim was killed and 'shim delete' has not run yet",
      });
    } catch (error) {
      if (!hasErrno(error, "ENOENT") || tries >= TRIES) throw error;
    }
  }
}

/** Removes what is left of the directories. */
export function removeRunDirectories(paths: SandboxPaths): void {
  removeTree(paths.disks);
  removeWithParents(paths.share);
  removeWithParents(paths.run);
}

/** Removes `path` and, while they are empty, the directories above it, up to /run. */
export function removeWithParents(path: string): void {
  removeTree(path);
  for (let parent = parentOf(path); parent !== "/run" && parent !== ""; parent = parentOf(parent)) {
    try {
      rmdirIfExists(parent);
    } catch (error) {
      if (hasErrno(error, "ENOTEMPTY", "EBUSY", "EEXIST")) return;
      throw error;
    }
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
