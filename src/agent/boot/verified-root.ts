/**
 * From the initial ramfs to a root disk that the kernel checks block by block.
 *
 * A kernel with device mapper built in makes the device itself, as `dm-mod.create` on its command line asks; one that has it as a module
 * starts this first. The command line is part of what is measured, and so are the root hash in it and this program; the disk need not be.
 * Sources: Linux Documentation/admin-guide/device-mapper/dm-init.rst; switch_root(8).
 */
import { KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { exists, mkdirIfMissing, readTextFile, removeTree } from "../../sys/files.ts";
import { check, kernel, systemCallError } from "../../sys/kernel.ts";
import { chdir, chroot, execve } from "../../sys/process.ts";
import { splitParameters } from "../kernel-parameters.ts";
import { openVerityTable } from "../storage/verity-device.ts";
import { KernelModules } from "./kernel-modules.ts";

const CREATE = "dm-mod.create";
const NEW_ROOT = "/new-root";
const INIT = "/sbin/init";
const MS_RDONLY = 1;
const MS_MOVE = 8192;
const SECTOR_BYTES = 512;
/** How long a disk may take to appear, ms, and how often to look. */
const DISK_DEADLINE_MS = 10_000;
const LOOK_EVERY_MS = 2;

/** A verified root, as the kernel's command line describes it. */
export interface VerifiedRoot {
  readonly sectors: bigint;
  /** dm-verity's parameters. */
  readonly table: string;
  /** The nodes of file system and hashes. */
  readonly disks: readonly [data: string, hashes: string];
  readonly filesystem: string;
}

/**
 * What the command line says of a verified root; undefined if it says nothing.
 *
 * @throws KataError `invalid-argument` for another device than one of dm-verity: to go on without would be to trust the disk.
 */
export function verifiedRoot(commandLine: string): VerifiedRoot | undefined {
  const parameters = new Map(splitParameters(commandLine));
  const text = parameters.get(CREATE);
  if (text === undefined) return undefined;
  const [, , , flags, table = "", ...more] = text.split(",");
  const words = table.trim().split(/\s+/);
  const [start, sectors = "", target, version, data = "", hashes = "", dataBlock, , blocks] = words;
  const isNumber = (word: string | undefined) => /^\d{1,15}$/.test(word ?? "");
  const isDisk = (path: string) => /^\/dev\/\w+$/.test(path);
  const isWhole =
    BigInt(isNumber(sectors) ? sectors : 0) * BigInt(SECTOR_BYTES) === product(blocks, dataBlock);
  const filesystem = parameters.get("rootfstype") ?? "";
  if (
    more.length > 0 ||
    flags !== "ro" ||
    start !== "0" ||
    target !== "verity" ||
    version !== "1" ||
    !isDisk(data) ||
    !isDisk(hashes) ||
    !isWhole ||
    words.length !== 13 ||
    !/^\w+$/.test(filesystem)
  ) {
    throw new KataError("invalid-argument", {
      operation: `read ${CREATE} of the kernel's command line`,
      object: JSON.stringify(text.slice(0, 400)),
      hint: "it is one read-only device of dm-verity, with rootfstype beside it",
    });
  }
  return { sectors: BigInt(sectors), table: words.slice(3).join(" "), disks: [data, hashes], filesystem };
}

function product(a: string | undefined, b: string | undefined): bigint {
  return /^\d{1,15}$/.test(a ?? "") && /^\d{1,15}$/.test(b ?? "") ? BigInt(a ?? 0) * BigInt(b ?? 0) : -1n;
}

/**
 * Goes on with the program on the verified root, if the command line asks for one. Called in the initial ramfs, with nothing mounted.
 *
 * @param initial the directory of the initial files.
 * @returns if it does not ask.
 * @throws KataError if the disk is not the one that the command line tells of.
 */
export function enterVerifiedRoot(initial: FileDescriptor): void {
  mountAt("proc", "/proc");
  const commandLine = readTextFile("/proc/cmdline");
  const root = verifiedRoot(commandLine);
  if (root === undefined) {
    check(kernel().syscall("umount2", "/proc", 0), "unmount", "/proc");
    return;
  }
  mountAt("sysfs", "/sys");
  mountAt("devtmpfs", "/dev");
  const modules = new KernelModules(initial.fd, commandLine);
  for (const name of ["virtio_pci", "virtio_blk", "dm_verity", root.filesystem])
    if (modules.has(name)) modules.load(name);
  for (const disk of root.disks) awaitNode(disk);
  const { node } = openVerityTable("dm-verity", root.sectors, root.table);
  mkdirIfMissing(NEW_ROOT, 0o755);
  const mounted = kernel().syscall("mount", node, NEW_ROOT, root.filesystem, MS_RDONLY, null);
  check(mounted, "mount verified root", `${root.disks[0]} as ${root.filesystem}`);
  // They would stay in memory, which nobody reaches any more.
  for (const path of ["/lib", "/etc", "/init", "/bin"]) removeTree(path);
  chdir(NEW_ROOT);
  check(kernel().syscall("mount", ".", "/", null, MS_MOVE, null), "move root", NEW_ROOT);
  chroot(".");
  chdir("/");
  const result = execve(INIT, [INIT], ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
  throw systemCallError(result, "start the verified root's first program", INIT);
}

function mountAt(type: string, target: string): void {
  mkdirIfMissing(target, 0o755);
  const result = kernel().syscall("mount", type, target, type, 0, null);
  // EBUSY: the kernel has done so.
  if (result !== -16) check(result, `mount ${type} at`, target);
}

function awaitNode(path: string): void {
  for (let waited = 0; !exists(path); waited += LOOK_EVERY_MS) {
    if (waited >= DISK_DEADLINE_MS) {
      throw new KataError("not-found", {
        operation: "wait for the root disk",
        object: path,
        hint: "the disk has two partitions, file system and hashes: is it an image made with --verity?",
      });
    }
    const nanoseconds = BigInt(LOOK_EVERY_MS) * 1_000_000n;
    check(
      kernel().syscall("clock_nanosleep", 1, 0, new BigInt64Array([0n, nanoseconds]), null),
      "wait for",
      path,
    );
  }
}
