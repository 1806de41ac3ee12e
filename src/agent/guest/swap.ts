/**
 * Swap areas: a disk that the host has plugged in for it.
 * Sources: swapon(2), mkswap(8); Linux include/linux/swap.h, union swap_header.
 */
import { KataError } from "../../kata-error.ts";
import { O_RDWR, open, readFile, S_IFBLK, S_IFMT, stat } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { randomBytes } from "../../sys/random.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { namedBlockNode, virtioBlockNode } from "../device/block-device.ts";

/** What mkswap takes for the least that is worth it. */
const MIN_PAGES = 10;
const MAGIC = "SWAPSPACE2";
/** Offset of `version`, `last_page`, `nr_badpages` and `sws_uuid`: behind the room for a boot sector. */
const INFO_OFFSET = 1024;
const UUID_OFFSET = INFO_OFFSET + 12;
const VERSION = 1;
const SEEK_END = 2;

/** Makes the disk at the PCI path a swap area and uses it. @param path one slot for each bridge on the way, and the disk's. */
export async function addSwapAtPciPath(path: readonly number[], timeoutMs: number): Promise<void> {
  const text = path.map((slot) => slot.toString(16).padStart(2, "0")).join("/");
  useSwap(await virtioBlockNode(text, timeoutMs));
}

/** Makes the disk `path` (`/dev/vdb`) a swap area and uses it. */
export async function addSwapAtNode(path: string, timeoutMs: number): Promise<void> {
  useSwap(await namedBlockNode(path, timeoutMs));
}

function useSwap(node: string): void {
  if ((stat(node).mode & S_IFMT) !== S_IFBLK) {
    throw new KataError("invalid-argument", { operation: "add swap", object: `${node} is no disk` });
  }
  makeSwapArea(node, pageSize());
  check(kernel().syscall("swapon", node, 0), "use swap", node);
}

const AT_PAGESZ = 6n;

/** Bytes. Source: getauxval(3). */
function pageSize(): number {
  const auxiliary = new BigUint64Array(readFile("/proc/self/auxv").slice().buffer);
  for (let at = 0; at + 1 < auxiliary.length; at += 2) {
    if (auxiliary[at] === AT_PAGESZ) return Number(auxiliary[at + 1]);
  }
  throw new KataError("internal", { operation: "find page size", object: "/proc/self/auxv" });
}

/** The first page of a swap area. @param uuid 16 bytes. */
export function swapHeader(pages: number, pageBytes: number, uuid: Uint8Array): Uint8Array {
  const header = new Uint8Array(pageBytes);
  const view = new DataView(header.buffer);
  view.setUint32(INFO_OFFSET, VERSION, true);
  view.setUint32(INFO_OFFSET + 4, pages - 1, true);
  header.set(uuid.subarray(0, 16), UUID_OFFSET);
  header.set(utf8Encode(MAGIC), pageBytes - MAGIC.length);
  return header;
}

/** Writes a swap area's header to the file or disk `path`. What was there is lost. */
export function makeSwapArea(path: string, pageBytes: number): void {
  using file = open(path, O_RDWR);
  const size = check(kernel().syscall("lseek", file.fd, 0, SEEK_END), "find size of", path);
  const pages = Math.min(Math.floor(size / pageBytes), 0xffff_ffff);
  if (pages < MIN_PAGES) {
    throw new KataError("invalid-argument", {
      operation: "make swap area",
      object: path,
      hint: `it has ${size} bytes, and ${MIN_PAGES * pageBytes} are the least`,
    });
  }
  const header = swapHeader(pages, pageBytes, versionFour(randomBytes(16)));
  const written = check(kernel().syscall("pwrite64", file.fd, header, header.length, 0), "write", path);
  if (written !== header.length)
    throw new KataError("internal", { operation: "make swap area", object: path });
  check(kernel().syscall("fsync", file.fd), "write", path);
}

/** A random UUID. Source: RFC 9562, 5.4. */
function versionFour(bytes: Uint8Array): Uint8Array {
  const uuid = Uint8Array.from(bytes);
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | 0x40;
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
  return uuid;
}
