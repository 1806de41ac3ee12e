/**
 * Files and directories of the host that every pod sees, by the operator's configuration (`sandbox_bind_mounts`): in the guest, for
 * its own programs and hooks, below the shared directory's `sandbox-mounts`.
 * Source: upstream Kata Containers, configuration, `sandbox_bind_mounts`.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { AT_FDCWD } from "../../sys/files.ts";
import { AT_RECURSIVE, OPEN_TREE_CLONE, openTree } from "../../sys/new-mount-api.ts";
import { baseName } from "../path.ts";
import { hardenTree } from "./host-side-flags.ts";
import type { SharedDirectory } from "./shared-directory.ts";

const DIRECTORY = "sandbox-mounts";

export interface SandboxBindMount {
  readonly path: string;
  /** Its name in the guest: the last component of the path. */
  readonly name: string;
  readonly readOnly: boolean;
}

/** @throws KataError `invalid-configuration` for a path that is not absolute, and for two with the same last component. */
export function parseSandboxBindMounts(entries: readonly string[]): SandboxBindMount[] {
  const parsed = entries.map((entry) => {
    const [, path = entry, mode] = /^(.*):(ro|rw)$/.exec(entry) ?? [];
    return { path, name: baseName(path), readOnly: mode !== "rw" };
  });
  for (const [index, { path, name }] of parsed.entries()) {
    if (!path.startsWith("/") || name === "" || name === "." || name === "..") {
      throw invalid(path, "a bind mount of the sandbox is an absolute path, :ro or :rw may follow");
    }
    if (parsed.findIndex((other) => other.name === name) !== index) {
      throw invalid(path, "another one has the same last component, by which the guest knows it");
    }
  }
  return parsed;
}

/** Shows them to the guest. @throws KataError `invalid-configuration` that names one that is missing. */
export function shareSandboxBindMounts(share: SharedDirectory, mounts: readonly SandboxBindMount[]): void {
  for (const { path, name, readOnly } of mounts) {
    try {
      using tree = openTree(AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE);
      hardenTree(tree, readOnly ? "recursive" : "no");
      share.place(tree, `${DIRECTORY}/${name}`);
    } catch (error) {
      if (!hasErrno(error, "ENOENT", "ENOTDIR")) throw error;
      throw invalid(path, "nothing is there", error);
    }
  }
}

function invalid(object: string, hint: string, cause?: unknown): KataError {
  return new KataError("invalid-configuration", {
    operation: "read sandbox_bind_mounts",
    object: JSON.stringify(object),
    hint,
    ...(cause === undefined ? {} : { cause }),
  });
}
