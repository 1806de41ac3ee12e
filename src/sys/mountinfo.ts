/** The mounts of a mount namespace. Source: proc_pid_mountinfo(5). */
import { KataError } from "../kata-error.ts";
import { readTextFile } from "./files.ts";

export interface MountInfo {
  readonly id: number;
  readonly parentId: number;
  readonly major: number;
  readonly minor: number;
  /** The directory of the file system that is the root of this mount. */
  readonly root: string;
  readonly mountPoint: string;
  /** Of this mount: `rw`, `noexec`. */
  readonly options: readonly string[];
  /** Propagation: `shared:1`, `master:1`, `propagate_from:1`, `unbindable`; empty for a private mount. */
  readonly propagation: readonly string[];
  readonly type: string;
  readonly source: string;
  /** Of the file system: `rw`, `cpu`, `lowerdir=/a`. */
  readonly superOptions: readonly string[];
}

/** Ten times what a large host has; the kernel's own limit for a namespace is 100,000. */
const MAX_BYTES = 32 << 20;

/** The mounts that process `pid` sees, in the order in which they were made. */
export function readMountInfo(pid: number | "self" = "self"): MountInfo[] {
  return parseMountInfo(readTextFile(`/proc/${pid}/mountinfo`, MAX_BYTES));
}

/** @throws KataError `invalid-data` for a line that is none. */
export function parseMountInfo(text: string): MountInfo[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map(parseLine);
}

/** Fields up to the list of variable length. */
const FIXED_FIELDS = 6;

function parseLine(line: string): MountInfo {
  const fields = line.split(" ");
  const separator = fields.indexOf("-", FIXED_FIELDS);
  const device = /^(\d+):(\d+)$/.exec(fields[2] ?? "");
  const [id, parentId] = [Number(fields[0]), Number(fields[1])];
  const [type, source, superOptions] = fields.slice(separator + 1);
  if (
    separator < 0 ||
    device === null ||
    !Number.isInteger(id) ||
    !Number.isInteger(parentId) ||
    superOptions === undefined
  ) {
    throw new KataError("invalid-data", {
      operation: "read mountinfo",
      object: JSON.stringify(line.slice(0, 200)),
    });
  }
  return {
    id,
    parentId,
    major: Number(device[1]),
    minor: Number(device[2]),
    root: unescapeOctal(fields[3] ?? ""),
    mountPoint: unescapeOctal(fields[4] ?? ""),
    options: (fields[5] ?? "").split(","),
    propagation: fields.slice(FIXED_FIELDS, separator),
    type: unescapeOctal(type ?? ""),
    source: unescapeOctal(source ?? ""),
    superOptions: superOptions.split(",").map(unescapeOctal),
  };
}

/** The kernel writes space, tab, newline, `#` and backslash as three octal digits. */
function unescapeOctal(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}
