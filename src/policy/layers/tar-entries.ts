/** The entries of a tar archive. Source: POSIX pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format". */
import { KataError } from "../../kata-error.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { type ByteSource, sourceOf } from "./byte-source.ts";

export type TarType = "file" | "hardlink" | "symlink" | "character" | "block" | "directory" | "fifo";

export interface TarEntry {
  readonly name: string;
  readonly type: TarType;
  /** Permission bits with set-id and sticky bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Bytes of content. */
  readonly size: number;
  /** Where the content begins. */
  readonly offset: number;
  readonly linkName: string;
  /** Where the target stands in the header, or undefined if it stands in an extended one. */
  readonly linkOffset: number | undefined;
  readonly major: number;
  readonly minor: number;
  /** Extended attributes by their whole names. Source: star(5), "SCHILY.xattr". */
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

const XATTR = "SCHILY.xattr.";
const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();
const BLOCK = 512;
const LINK_FIELD = 157;
/** Bytes of an extended header. */
const MAX_EXTENSION = 1024 * 1024;

const TYPES: Readonly<Record<string, TarType>> = {
  "\0": "file",
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  "7": "file",
};

/**
 * Reads an archive from its beginning to its end marker.
 *
 * @param onSkipped told of entries whose type has no meaning in a layer.
 * @throws KataError `invalid-tar` with the offset of the fault.
 */
export function* tarEntries(
  archive: Uint8Array | ByteSource,
  onSkipped?: (name: string, type: string) => void,
): Generator<TarEntry> {
  const bytes = archive instanceof Uint8Array ? sourceOf(archive) : archive;
  let extended = new Map<string, string>();
  let xattrs = NO_XATTRS;
  const global = new Map<string, string>();
  const headerBytes = new Uint8Array(BLOCK);
  for (let at = 0; at + BLOCK <= bytes.length; ) {
    headerBytes.set(bytes.read(at, BLOCK));
    const header = headerBytes;
    if (header.every((byte) => byte === 0)) return;
    checkSum(header, at);
    const type = String.fromCharCode(header[156] ?? 0);
    const attribute = (key: string) => extended.get(key) ?? global.get(key);
    const isExtension = "xgLK".includes(type);
    const size = isExtension
      ? number(header, 124, 12, at)
      : numeric(attribute("size"), () => number(header, 124, 12, at));
    const offset = at + BLOCK;
    const next = offset + Math.ceil(size / BLOCK) * BLOCK;
    const holdsContent = isExtension || !"123456".includes(type);
    if (holdsContent && offset + size > bytes.length) throw invalid(at, "it ends within an entry");
    if (isExtension) {
      if (size > MAX_EXTENSION) throw invalid(at, "an extended header is too large");
      const content = bytes.read(offset, size);
      if (type === "x") {
        const records = paxRecords(content, at);
        for (const [key, value] of records) if (!key.startsWith(XATTR)) extended.set(key, text(value));
        xattrs = new Map(
          records
            .filter(([key]) => key.startsWith(XATTR))
            .map(([key, value]) => [key.slice(XATTR.length), new Uint8Array(value)]),
        );
      }
      if (type === "g") for (const [key, value] of paxRecords(content, at)) global.set(key, text(value));
      if (type === "L") extended.set("path", untilNul(content));
      if (type === "K") extended.set("linkpath", untilNul(content));
      at = next;
      continue;
    }
    const isUstar = untilNul(header.subarray(257, 263)).startsWith("ustar");
    const isGnu = header[262] === 0x20 || header[263] === 0x20;
    const prefix = isUstar && !isGnu ? untilNul(header.subarray(345, 500)) : "";
    const shortName = untilNul(header.subarray(0, 100));
    const name = attribute("path") ?? (prefix === "" ? shortName : `${prefix}/${shortName}`);
    const longLink = attribute("linkpath");
    const known = TYPES[type];
    // Old archives mark a directory by its name alone.
    const kind = known === "file" && name.endsWith("/") ? "directory" : known;
    if (kind === undefined) {
      onSkipped?.(name, type);
    } else {
      yield {
        name,
        type: kind,
        mode: number(header, 100, 8, at) & 0o7777,
        uid: numeric(attribute("uid"), () => number(header, 108, 8, at)),
        gid: numeric(attribute("gid"), () => number(header, 116, 8, at)),
        mtime: Math.trunc(numeric(attribute("mtime"), () => number(header, 136, 12, at))),
        size: kind === "file" ? size : 0,
        offset,
        linkName: longLink ?? untilNul(header.subarray(LINK_FIELD, LINK_FIELD + 100)),
        linkOffset: longLink === undefined ? at + LINK_FIELD : undefined,
        major: kind === "character" || kind === "block" ? number(header, 329, 8, at) : 0,
        minor: kind === "character" || kind === "block" ? number(header, 337, 8, at) : 0,
        xattrs,
      };
    }
    extended = new Map();
    xattrs = NO_XATTRS;
    at = holdsContent ? next : offset;
  }
}

/** A header's checksum is the sum of its bytes, with its own field as spaces. */
function checkSum(header: Uint8Array, at: number): void {
  let unsigned = 0;
  for (let i = 0; i < BLOCK; i++) unsigned += i >= 148 && i < 156 ? 0x20 : (header[i] ?? 0);
  if (unsigned !== number(header, 148, 8, at)) throw invalid(at, "wrong checksum: no tar header");
}

/** Octal digits, or a big-endian number if the field's first bit is set (GNU). */
function number(header: Uint8Array, start: number, length: number, at: number): number {
  const field = header.subarray(start, start + length);
  const first = field[0] ?? 0;
  if (first & 0x80) {
    let value = first & 0x7f;
    for (const byte of field.subarray(1)) value = value * 256 + byte;
    if (!Number.isSafeInteger(value)) throw invalid(at, "a number is too large");
    return value;
  }
  const text = untilNul(field).trim();
  if (text === "") return 0;
  if (!/^[0-7]+$/.test(text)) throw invalid(at, "a number is not octal");
  return Number.parseInt(text, 8);
}

function numeric(text: string | undefined, otherwise: () => number): number {
  if (text === undefined || !/^-?\d+(\.\d*)?$/.test(text)) return otherwise();
  return Number(text);
}

/** Records `LENGTH KEY=VALUE\n`, where LENGTH counts bytes of the whole record. */
function paxRecords(content: Uint8Array, at: number): [key: string, value: Uint8Array][] {
  const records: [string, Uint8Array][] = [];
  for (let start = 0; start < content.length; ) {
    const space = content.indexOf(0x20, start);
    const length = Number(latin(content.subarray(start, Math.max(space, start))));
    if (
      space < 0 ||
      !Number.isInteger(length) ||
      length <= space - start ||
      start + length > content.length
    ) {
      throw invalid(at, "malformed extended header");
    }
    const record = content.subarray(space + 1, start + length - 1);
    const equals = record.indexOf(0x3d);
    if (equals < 0) throw invalid(at, "malformed extended header");
    records.push([text(record.subarray(0, equals)), record.subarray(equals + 1)]);
    start += length;
  }
  return records;
}

function untilNul(field: Uint8Array): string {
  const end = field.indexOf(0);
  return text(end < 0 ? field : field.subarray(0, end));
}

function text(bytes: Uint8Array): string {
  return utf8Decode(bytes);
}

function latin(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function invalid(offset: number, hint: string): KataError {
  return new KataError("invalid-tar", { operation: "read tar archive", object: `offset ${offset}`, hint });
}
