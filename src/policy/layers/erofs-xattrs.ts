/**
 * Extended attributes behind an inode of an EROFS image.
 *
 * Source: Linux, fs/erofs/erofs_fs.h, struct erofs_xattr_ibody_header and erofs_xattr_entry.
 */
import { KataError } from "../../kata-error.ts";
import { utf8Encode } from "../../sys/utf8.ts";

const HEADER_BYTES = 12;
const ENTRY_BYTES = 4;
const MAX_VALUE_BYTES = 65_535;
const MAX_SUFFIX_BYTES = 255;

/** Beginnings of names that are told by a number; the two of ACLs are whole names. */
const PREFIXES: readonly (readonly [prefix: string, index: number])[] = [
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
];

/**
 * The bytes behind the inode: none for none.
 *
 * @throws KataError `invalid-layer` for an attribute that the format cannot hold.
 */
export function xattrBytes(xattrs: ReadonlyMap<string, Uint8Array>): Uint8Array {
  if (xattrs.size === 0) return new Uint8Array(0);
  const entries = [...xattrs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => entryBytes(name, value));
  const bytes = new Uint8Array(HEADER_BYTES + entries.reduce((sum, entry) => sum + entry.length, 0));
  let at = HEADER_BYTES;
  for (const entry of entries) {
    bytes.set(entry, at);
    at += entry.length;
  }
  return bytes;
}

/** What the inode says of their size. */
export function xattrCount(bytes: Uint8Array): number {
  return bytes.length === 0 ? 0 : (bytes.length - HEADER_BYTES) / ENTRY_BYTES + 1;
}

function entryBytes(name: string, value: Uint8Array): Uint8Array {
  const [prefix, index] = PREFIXES.find(([start]) => name.startsWith(start)) ?? ["", 0];
  const suffix = utf8Encode(name.slice(prefix.length));
  if (index === 0 || suffix.length > MAX_SUFFIX_BYTES || value.length > MAX_VALUE_BYTES) {
    throw new KataError("invalid-layer", {
      operation: "write extended attribute",
      object: JSON.stringify(name.slice(0, 200)),
      hint: "its name is of no known kind, or it is too long",
    });
  }
  const bytes = new Uint8Array(Math.ceil((ENTRY_BYTES + suffix.length + value.length) / 4) * 4);
  bytes[0] = suffix.length;
  bytes[1] = index;
  new DataView(bytes.buffer).setUint16(2, value.length, true);
  bytes.set(suffix, ENTRY_BYTES);
  bytes.set(value, ENTRY_BYTES + suffix.length);
  return bytes;
}
