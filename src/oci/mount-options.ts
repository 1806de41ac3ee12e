/**
 * The options of a mount, as a spec and fstab write them, in the kernel's terms.
 *
 * Both interfaces are served: `flags` for mount(2), `attributes` for mount_setattr(2). Options that belong to the file
 * system itself are its `data`.
 * Sources: mount(2), mount_setattr(2), OCI runtime specification, "Linux mount options".
 */
import { KataError } from "../kata-error.ts";

export const MS_RDONLY = 0x1;
export const MS_NOSUID = 0x2;
export const MS_NODEV = 0x4;
export const MS_NOEXEC = 0x8;
export const MS_SYNCHRONOUS = 0x10;
export const MS_REMOUNT = 0x20;
export const MS_MANDLOCK = 0x40;
export const MS_DIRSYNC = 0x80;
export const MS_NOSYMFOLLOW = 0x100;
export const MS_NOATIME = 0x400;
export const MS_NODIRATIME = 0x800;
export const MS_BIND = 0x1000;
export const MS_REC = 0x4000;
export const MS_SILENT = 0x8000;
export const MS_POSIXACL = 0x1_0000;
export const MS_UNBINDABLE = 0x2_0000;
export const MS_PRIVATE = 0x4_0000;
export const MS_SLAVE = 0x8_0000;
export const MS_SHARED = 0x10_0000;
export const MS_RELATIME = 0x20_0000;
export const MS_I_VERSION = 0x80_0000;
export const MS_STRICTATIME = 0x100_0000;
export const MS_LAZYTIME = 0x200_0000;

export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;
/** Mask of the access time modes: a mode is set only after the old one was cleared by this. */
export const MOUNT_ATTR__ATIME = 0x70;
export const MOUNT_ATTR_RELATIME = 0x00;
export const MOUNT_ATTR_NOATIME = 0x10;
export const MOUNT_ATTR_STRICTATIME = 0x20;
export const MOUNT_ATTR_NODIRATIME = 0x80;
export const MOUNT_ATTR_NOSYMFOLLOW = 0x20_0000;

/** Bits to turn on and off; no bit is in both, but for the access time mode, whose mask is cleared first. */
export interface BitChange {
  readonly set: number;
  readonly clear: number;
}

export interface Propagation {
  /** `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` or `MS_UNBINDABLE`. */
  readonly type: number;
  readonly recursive: boolean;
}

export interface MountOptions {
  /** `bind` or `rbind` is among the options. */
  readonly bind: boolean;
  readonly recursiveBind: boolean;
  /** `MS_*` for mount(2), without bind and propagation. */
  readonly flags: BitChange;
  /** `MOUNT_ATTR_*` of this mount. */
  readonly attributes: BitChange;
  /** `MOUNT_ATTR_*` of this mount and all below it; undefined if no option asks for that. */
  readonly recursiveAttributes: BitChange | undefined;
  /** Flags of the file system, by the names that fsconfig(2) takes: `sync`, `dirsync`, `lazytime`, `mand`. */
  readonly superblock: readonly string[];
  /** Each is one more call after the mount. */
  readonly propagation: readonly Propagation[];
  /** Id-mapped by the maps of the mount or the container: this mount, or all below it as well. */
  readonly idMap: "none" | "mount" | "recursive";
  /** A new tmpfs gets a copy of the directory that it covers. */
  readonly copyUp: boolean;
  /** Options for the file system, in order: `size=64m`, `mode=755`. */
  readonly data: readonly string[];
}

/** Most options of one mount; an overlay has few options, but long ones. */
export const MAX_OPTIONS = 4096;

const SET = 1;
const CLEAR = 0;

/** Option → [MS_ flag, set or clear]. */
const FLAGS: ReadonlyMap<string, readonly [flag: number, set: 0 | 1]> = new Map([
  ...pair("ro", "rw", MS_RDONLY),
  ...pair("nosuid", "suid", MS_NOSUID),
  ...pair("nodev", "dev", MS_NODEV),
  ...pair("noexec", "exec", MS_NOEXEC),
  ...pair("sync", "async", MS_SYNCHRONOUS),
  ...pair("mand", "nomand", MS_MANDLOCK),
  ...pair("nosymfollow", "symfollow", MS_NOSYMFOLLOW),
  ...pair("noatime", "atime", MS_NOATIME),
  ...pair("nodiratime", "diratime", MS_NODIRATIME),
  ...pair("relatime", "norelatime", MS_RELATIME),
  ...pair("strictatime", "nostrictatime", MS_STRICTATIME),
  ...pair("lazytime", "nolazytime", MS_LAZYTIME),
  ...pair("iversion", "noiversion", MS_I_VERSION),
  ...pair("silent", "loud", MS_SILENT),
  ...pair("acl", "noacl", MS_POSIXACL),
  ["dirsync", [MS_DIRSYNC, SET]],
  ["remount", [MS_REMOUNT, SET]],
]);

function pair(set: string, clear: string, flag: number): [string, readonly [number, 0 | 1]][] {
  return [
    [set, [flag, SET]],
    [clear, [flag, CLEAR]],
  ];
}

/** MS_ flag → MOUNT_ATTR_ bits to set, and the mask that is cleared whichever way it goes. */
const ATTRIBUTES: ReadonlyMap<number, readonly [attribute: number, mask: number]> = new Map([
  [MS_RDONLY, [MOUNT_ATTR_RDONLY, MOUNT_ATTR_RDONLY]],
  [MS_NOSUID, [MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSUID]],
  [MS_NODEV, [MOUNT_ATTR_NODEV, MOUNT_ATTR_NODEV]],
  [MS_NOEXEC, [MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOEXEC]],
  [MS_NOSYMFOLLOW, [MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW]],
  [MS_NODIRATIME, [MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NODIRATIME]],
  [MS_RELATIME, [MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME]],
  [MS_NOATIME, [MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME]],
  [MS_STRICTATIME, [MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME]],
]);

/** Flags of the file system rather than of the mount. */
const SUPERBLOCK_OPTIONS: ReadonlySet<string> = new Set([
  "sync",
  "dirsync",
  "lazytime",
  "mand",
  "iversion",
  "acl",
]);

const PROPAGATIONS: ReadonlyMap<string, Propagation> = new Map(
  (
    [
      ["private", MS_PRIVATE],
      ["slave", MS_SLAVE],
      ["shared", MS_SHARED],
      ["unbindable", MS_UNBINDABLE],
    ] as const
  ).flatMap(([name, type]): [string, Propagation][] => [
    [name, { type, recursive: false }],
    [`r${name}`, { type, recursive: true }],
  ]),
);

/** Options that, behind an `r`, are for the whole tree. Source: OCI runtime specification, "Linux mount options". */
const RECURSIVE: ReadonlySet<string> = new Set(
  "ro rw nosuid suid nodev dev noexec exec noatime atime strictatime nostrictatime relatime norelatime nodiratime diratime nosymfollow symfollow"
    .split(" ")
    .map((name) => `r${name}`),
);

/** All options that {@link parseMountOptions} knows, for the list of features. */
export const KNOWN_MOUNT_OPTIONS: readonly string[] = [
  ...FLAGS.keys(),
  ...PROPAGATIONS.keys(),
  ...RECURSIVE,
  "bind",
  "rbind",
  "defaults",
  "idmap",
  "ridmap",
  "tmpcopyup",
].sort();

/** Collects bits; the last option for a bit decides. */
class Change {
  set = 0;
  clear = 0;

  turn(bits: number, mask: number, on: boolean): void {
    this.clear |= mask;
    this.set &= ~mask;
    if (on) this.set |= bits;
  }

  /** A mode is set by clearing its mask first; a plain bit is either set or cleared. */
  result(): BitChange {
    return { set: this.set, clear: this.clear & ~(this.set & ~MOUNT_ATTR__ATIME) };
  }
}

function turnAttribute(change: Change, flag: number, on: boolean): void {
  const found = ATTRIBUTES.get(flag);
  if (found === undefined) return;
  const [attribute, mask] = found;
  // Leaving a mode that is not the present one changes nothing; leaving the present one means relatime, as in the kernel.
  if (!on && mask === MOUNT_ATTR__ATIME && (attribute === 0 || (change.set & mask) !== attribute)) {
    if (attribute !== 0) change.turn(MOUNT_ATTR_RELATIME, mask, true);
    return;
  }
  change.turn(attribute, mask, on);
}

/**
 * Sorts `options`. An option that nobody knows is the file system's.
 *
 * @throws KataError `invalid-argument` if there are more than {@link MAX_OPTIONS}, or one holds a NUL.
 */
export function parseMountOptions(options: readonly string[]): MountOptions {
  if (options.length > MAX_OPTIONS)
    throw invalid(`${options.length} options`, `a mount has at most ${MAX_OPTIONS}`);
  let bind = false;
  let recursiveBind = false;
  let idMap: MountOptions["idMap"] = "none";
  let copyUp = false;
  let recursiveAttributes: Change | undefined;
  let setFlags = 0;
  let clearFlags = 0;
  const attributes = new Change();
  const superblock = new Set<string>();
  const propagation: Propagation[] = [];
  const data: string[] = [];
  for (const option of options) {
    if (option.includes("\0")) throw invalid(JSON.stringify(option.slice(0, 80)), "an option holds no NUL");
    const flag = FLAGS.get(option);
    const change = PROPAGATIONS.get(option);
    if (flag !== undefined) {
      const on = flag[1] === SET;
      setFlags = on ? setFlags | flag[0] : setFlags & ~flag[0];
      clearFlags = on ? clearFlags & ~flag[0] : clearFlags | flag[0];
      turnAttribute(attributes, flag[0], on);
      if (on && SUPERBLOCK_OPTIONS.has(option)) superblock.add(option);
      else for (const name of superblock) if (FLAGS.get(name)?.[0] === flag[0]) superblock.delete(name);
    } else if (change !== undefined) {
      propagation.push(change);
    } else if (RECURSIVE.has(option)) {
      recursiveAttributes ??= new Change();
      const plain = FLAGS.get(option.slice(1));
      if (plain !== undefined) turnAttribute(recursiveAttributes, plain[0], plain[1] === SET);
    } else if (option === "bind" || option === "rbind") {
      bind = true;
      recursiveBind ||= option === "rbind";
    } else if (option === "idmap") {
      if (idMap === "none") idMap = "mount";
    } else if (option === "ridmap") {
      idMap = "recursive";
    } else if (option === "tmpcopyup") {
      copyUp = true;
    } else if (option !== "defaults" && option !== "") {
      data.push(option);
    }
  }
  return {
    bind,
    recursiveBind,
    flags: { set: setFlags, clear: clearFlags },
    attributes: attributes.result(),
    recursiveAttributes: recursiveAttributes?.result(),
    superblock: [...superblock],
    propagation,
    idMap,
    copyUp,
    data,
  };
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "read mount options", object, hint });
}
