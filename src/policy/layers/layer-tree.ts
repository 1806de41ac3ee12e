/**
 * The file tree that a layer's archive describes, as overlayfs is to see it: what the layer removes is a device 0/0, a directory
 * that hides what is below it has the attribute `trusted.overlay.opaque`.
 *
 * Sources: OCI image-spec, layer.md, "Whiteouts"; Linux Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
 */
import { KataError } from "../../kata-error.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { type ByteRange, type ByteSource, sourceOf } from "./byte-source.ts";
import { type TarEntry, tarEntries } from "./tar-entries.ts";

export interface Attributes {
  /** Permission bits with set-id and sticky bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Seconds since 1970. */
  mtime: number;
  /** Extended attributes by their whole names. */
  xattrs: ReadonlyMap<string, Uint8Array>;
}

export interface Directory extends Attributes {
  readonly kind: "directory";
  readonly members: Map<string, TreeNode>;
}

/** What is not a directory; a hard link is the same object in two places. */
export type Leaf =
  | (Attributes & { readonly kind: "file"; readonly content: ByteRange })
  | (Attributes & { readonly kind: "symlink"; readonly target: Uint8Array })
  | (Attributes & {
      readonly kind: "character" | "block";
      readonly major: number;
      readonly minor: number;
    })
  | (Attributes & { readonly kind: "fifo" });

export type TreeNode = Directory | Leaf;

const WHITEOUT = ".wh.";
const OPAQUE_WHITEOUT = ".wh..wh..opq";
const OPAQUE = ["trusted.overlay.opaque", Uint8Array.of(0x79)] as const;
/** Longest name. Source: Linux, NAME_MAX. */
const MAX_NAME_BYTES = 255;
/** Most directories below each other: no path of the kernel's is longer. */
const MAX_DEPTH = 2048;
/** Links that are followed in one path. Source: path_resolution(7). */
const MAX_LINKS = 40;

export function newDirectory(attributes: Partial<Attributes> = {}): Directory {
  return {
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: 0,
    xattrs: new Map(),
    ...attributes,
    kind: "directory",
    members: new Map(),
  };
}

/**
 * The tree of an archive. Entries of types that have no meaning in a layer are left out.
 *
 * @throws KataError `invalid-tar`; `invalid-layer` naming the entry.
 */
export function layerTree(tar: Uint8Array | ByteSource): Directory {
  const source = tar instanceof Uint8Array ? sourceOf(tar) : tar;
  const root = newDirectory();
  for (const entry of tarEntries(source)) insert(root, entry, source);
  return root;
}

function insert(root: Directory, entry: TarEntry, source: ByteSource): void {
  const parts = partsOf(entry.name);
  const last = parts.pop();
  if (last === undefined) {
    if (entry.type === "directory") Object.assign(root, attributesOf(entry, root));
    return;
  }
  const parent = directoryAt(root, parts, entry.name);
  if (last === OPAQUE_WHITEOUT) {
    parent.xattrs = new Map([...parent.xattrs, OPAQUE]);
    return;
  }
  if (last.startsWith(WHITEOUT)) {
    const name = checkName(last.slice(WHITEOUT.length), entry.name);
    parent.members.set(name, { ...attributesOf(entry), kind: "character", mode: 0, major: 0, minor: 0 });
    return;
  }
  checkName(last, entry.name);
  const existing = parent.members.get(last);
  if (entry.type === "directory" && existing?.kind === "directory") {
    Object.assign(existing, attributesOf(entry, existing));
    return;
  }
  parent.members.set(last, nodeOf(entry, root, source));
}

/** The parts of a path; `..` goes up but not above the root. */
function partsOf(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts;
}

function checkName(name: string, path: string): string {
  if (name !== "" && name !== "." && name !== ".." && utf8Encode(name).length <= MAX_NAME_BYTES) return name;
  throw invalid(path, "a name in it is empty or too long");
}

/** The directory at `parts`, made where nothing is; links of the layer are followed, as whoever unpacks it does. */
function directoryAt(root: Directory, parts: readonly string[], path: string): Directory {
  let directory = root;
  let links = 0;
  const ahead = [...parts].reverse();
  const above: Directory[] = [];
  for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
    if (part === "..") {
      directory = above.pop() ?? root;
      continue;
    }
    checkName(part, path);
    let next = directory.members.get(part);
    if (next?.kind === "symlink") {
      if (++links > MAX_LINKS) throw invalid(path, "its links lead round");
      const target = new TextDecoder().decode(next.target);
      if (target.startsWith("/")) {
        directory = root;
        above.length = 0;
      }
      ahead.push(
        ...target
          .split("/")
          .filter((step) => step !== "" && step !== ".")
          .reverse(),
      );
      continue;
    }
    if (next?.kind !== "directory") {
      next = newDirectory();
      directory.members.set(part, next);
    }
    above.push(directory);
    if (above.length > MAX_DEPTH) throw invalid(path, "it is too deep");
    directory = next;
  }
  return directory;
}

/** A directory that an entry tells more of stays opaque. */
function attributesOf(entry: TarEntry, existing?: Directory): Attributes {
  const isOpaque = existing?.xattrs.has(OPAQUE[0]) === true;
  return {
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtime: Math.max(entry.mtime, 0),
    xattrs: isOpaque ? new Map([...entry.xattrs, OPAQUE]) : entry.xattrs,
  };
}

function nodeOf(entry: TarEntry, root: Directory, source: ByteSource): TreeNode {
  const attributes = attributesOf(entry);
  switch (entry.type) {
    case "directory":
      return newDirectory(attributes);
    case "file":
      return { ...attributes, kind: "file", content: { source, offset: entry.offset, length: entry.size } };
    case "symlink":
      return { ...attributes, mode: 0o777, kind: "symlink", target: utf8Encode(entry.linkName) };
    case "character":
    case "block":
      return { ...attributes, kind: entry.type, major: entry.major, minor: entry.minor };
    case "fifo":
      return { ...attributes, kind: "fifo" };
    case "hardlink": {
      const parts = partsOf(entry.linkName);
      const name = parts.pop() ?? "";
      const target = directoryAt(root, parts, entry.name).members.get(name);
      if (target !== undefined && target.kind !== "directory") return target;
      throw invalid(
        entry.name,
        `it is a hard link to ${JSON.stringify(entry.linkName)}, which is no file of this layer`,
      );
    }
  }
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-layer", {
    operation: "read layer",
    object: JSON.stringify(object.slice(0, 300)),
    hint,
  });
}
