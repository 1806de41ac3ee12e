/**
 * The guest's root as a disk that the kernel checks: an EROFS partition and one with the tree of its hashes, whose root goes onto the
 * kernel's command line and so into what is measured.
 *
 * Source of the layout and of the parameters: upstream's image builder (partition 1 and 2, no superblock of dm-verity).
 */
import { createHash } from "node:crypto";
import { KataError } from "../kata-error.ts";
import { sourceOf } from "../policy/layers/byte-source.ts";
import { erofsImage } from "../policy/layers/erofs-image.ts";
import { type Directory, newDirectory, type TreeNode } from "../policy/layers/layer-tree.ts";
import { VERITY_BLOCK, VerityHasher } from "../policy/layers/verity-tree.ts";
import type { CpioEntry } from "./cpio.ts";
import { partitionedDisk, ROOT_TYPES } from "./partitioned-disk.ts";

export interface RootDisk {
  readonly disk: Uint8Array;
  /** For `kernel_verity_params`. */
  readonly verityParameters: string;
}

/** @param entries of the initial file system, a directory before what is in it. @param seed of UUIDs and salt. */
export function rootDisk(entries: readonly CpioEntry[], seed: string): RootDisk {
  const types = ROOT_TYPES[process.arch];
  if (types === undefined) {
    throw new KataError("unsupported", { operation: "make root disk", object: process.arch });
  }
  const digest = (what: string) => createHash("sha256").update(`${seed} ${what}`).digest();
  const image = erofsImage(treeOf(entries), digest("file system").subarray(0, 16));
  const salt = digest("salt");
  const hasher = new VerityHasher(
    (first, second) => createHash("sha256").update(first).update(second).digest(),
    salt,
  );
  const content: Uint8Array[] = [];
  for (const piece of image.pieces()) {
    hasher.add(piece);
    content.push(Uint8Array.from(piece));
  }
  const { rootHash, levels, blocks } = hasher.finish();
  const parameters = {
    root_hash: rootHash,
    salt: salt.toString("hex"),
    data_blocks: blocks,
    data_block_size: VERITY_BLOCK,
    hash_block_size: VERITY_BLOCK,
  };
  const partitions = [
    { name: "root", type: types.root, content },
    { name: "root-verity", type: types.verity, content: levels },
  ];
  return {
    disk: partitionedDisk(partitions, seed),
    verityParameters: Object.entries(parameters)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
  };
}

/** The tree with what a disk has and the initial file system has not: the name by which kernels start the first program. */
function treeOf(entries: readonly CpioEntry[]): Directory {
  const root = newDirectory();
  const plain = (mode: number) => ({ mode, uid: 0, gid: 0, mtime: 0, xattrs: new Map<string, Uint8Array>() });
  const place = (path: string, node: TreeNode) => {
    const parts = path.split("/");
    const name = parts.pop() ?? "";
    let directory = root;
    for (const part of parts) {
      let next = directory.members.get(part);
      if (next?.kind !== "directory") {
        next = newDirectory();
        directory.members.set(part, next);
      }
      directory = next;
    }
    directory.members.set(name, node);
  };
  for (const entry of entries) {
    const attributes = plain(entry.mode);
    switch (entry.type) {
      case "directory":
        place(entry.path, newDirectory(attributes));
        break;
      case "file":
        place(entry.path, {
          ...attributes,
          kind: "file",
          content: { source: sourceOf(entry.data), offset: 0, length: entry.data.length },
        });
        break;
      case "symbolic-link":
        place(entry.path, { ...attributes, kind: "symlink", target: new TextEncoder().encode(entry.target) });
        break;
      case "character-device":
        place(entry.path, { ...attributes, kind: "character", major: entry.major, minor: entry.minor });
        break;
    }
  }
  place("sbin/init", { ...plain(0o777), kind: "symlink", target: new TextEncoder().encode("../init") });
  return root;
}
