/**
 * cpio archives in the "newc" format, which the kernel unpacks as its initial file system.
 *
 * ```
 *  ┌──────────────────────┬────────────┬─────────┬──────┬─────────┐
 *  │ "070701" + 13 fields │ name + NUL │ 0–3 NUL │ data │ 0–3 NUL │   each field: 8 hexadecimal digits
 *  └──────────────────────┴────────────┴─────────┴──────┴─────────┘
 * ```
 *
 * The archive depends on the entries alone: owner 0:0, time 0, inode numbers counted up, entries in the given order.
 * Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
 */
import { KataError } from "../kata-error.ts";

export type CpioEntry = { readonly path: string; readonly mode: number } & (
  | { readonly type: "directory" }
  | { readonly type: "file"; readonly data: Uint8Array }
  | { readonly type: "symbolic-link"; readonly target: string }
  | { readonly type: "character-device"; readonly major: number; readonly minor: number }
);

const TYPE_BITS = {
  directory: 0o040000,
  file: 0o100000,
  "symbolic-link": 0o120000,
  "character-device": 0o020000,
} as const;

const HEADER_BYTES = 110;
const TRAILER = "TRAILER!!!";

/** Longest path or link target that the kernel takes (`PATH_MAX` with the NUL), bytes. */
const MAX_PATH_BYTES = 4096;

/** The kernel refuses nothing larger, but the size has eight hexadecimal digits, bytes. */
const MAX_FILE_BYTES = 0xffff_ffff;

/**
 * The archive of `entries`.
 *
 * @param entries a directory before what is in it, as the kernel makes them in this order; paths are relative, without `.` and `..`.
 * @throws KataError `invalid-argument` for a path that the kernel could not make, one that comes twice, or before its directory.
 */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  checkPaths(entries);
  const encoded = [
    ...entries.map(contentOf),
    { mode: 0, links: 1, name: TRAILER, data: new Uint8Array(), major: 0, minor: 0 },
  ];
  const parts = encoded.map((entry, index) => {
    const name = new TextEncoder().encode(`${entry.name}\0`);
    // The trailer has inode 0, as other writers do.
    const inode = entry.name === TRAILER ? 0 : index + 1;
    const fields = [
      inode,
      entry.mode,
      0,
      0,
      entry.links,
      0,
      entry.data.length,
      0,
      0,
      entry.major,
      entry.minor,
      name.length,
      0,
    ];
    return {
      header: `070701${fields.map((field) => field.toString(16).padStart(8, "0").toUpperCase()).join("")}`,
      name,
      data: entry.data,
    };
  });
  const size = parts.reduce(
    (sum, { name, data }) => sum + aligned(HEADER_BYTES + name.length) + aligned(data.length),
    0,
  );
  const archive = new Uint8Array(size);
  let offset = 0;
  for (const { header, name, data } of parts) {
    new TextEncoder().encodeInto(header, archive.subarray(offset));
    archive.set(name, offset + HEADER_BYTES);
    offset += aligned(HEADER_BYTES + name.length);
    archive.set(data, offset);
    offset += aligned(data.length);
  }
  return archive;
}

interface Content {
  readonly name: string;
  readonly mode: number;
  readonly links: number;
  readonly data: Uint8Array;
  readonly major: number;
  readonly minor: number;
}

function contentOf(entry: CpioEntry): Content {
  const content = {
    name: entry.path,
    mode: TYPE_BITS[entry.type] | (entry.mode & 0o7777),
    links: entry.type === "directory" ? 2 : 1,
    data: new Uint8Array(),
    major: 0,
    minor: 0,
  };
  switch (entry.type) {
    case "directory":
      return content;
    case "file":
      return { ...content, data: entry.data };
    case "symbolic-link":
      return { ...content, data: new TextEncoder().encode(entry.target) };
    case "character-device":
      return { ...content, major: entry.major, minor: entry.minor };
  }
}

function checkPaths(entries: readonly CpioEntry[]): void {
  const seen = new Map<string, CpioEntry["type"]>();
  for (const entry of entries) {
    const { path } = entry;
    const parent = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : undefined;
    const names = path.split("/");
    const problem =
      path.length >= MAX_PATH_BYTES ||
      path.includes("\0") ||
      names.some((name) => name === "" || name === "." || name === "..")
        ? "is no relative path of plain names"
        : path === TRAILER
          ? "is the name of the trailer"
          : seen.has(path)
            ? "comes twice"
            : parent !== undefined && seen.get(parent) !== "directory"
              ? "comes before its directory"
              : entry.type === "file" && entry.data.length > MAX_FILE_BYTES
                ? "is larger than 4 GiB"
                : undefined;
    if (problem !== undefined) {
      throw new KataError("invalid-argument", {
        operation: "write cpio archive",
        object: `${JSON.stringify(path.slice(0, 80))} ${problem}`,
      });
    }
    seen.set(path, entry.type);
  }
}

/** The next multiple of four. */
function aligned(bytes: number): number {
  return (bytes + 3) & ~3;
}
