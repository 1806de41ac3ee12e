/**
 * How much address space the ports of a machine need for the memory of cards that may be plugged into them.
 *
 * The guest's kernel gives a port 2 MiB of each kind when it boots, and never more; a graphics card has gigabytes.
 * Sources: Linux Documentation/ABI/testing/sysfs-bus-pci, `resource`; include/linux/ioport.h; drivers/pci/setup-bus.c.
 */
import { hasErrno } from "../../kata-error.ts";
import { readDirectory, readTextFileIfExists } from "../../sys/files.ts";
import { isPciAddress } from "../network/vfio-binding.ts";

/** Of each port, MiB. */
export interface CardWindows {
  /** Below 4 GiB. */
  readonly memoryMib: number;
  /** Anywhere. */
  readonly prefetchableMib: number;
}

const MIB = 1n << 20n;
/** What a port has without being asked. */
const DEFAULT_MIB = 2;
const IORESOURCE_MEM = 0x200n;
/** Prefetchable, and of 64 bits. */
const IORESOURCE_ANYWHERE = 0x2000n | 0x10_0000n;
/** The six base address registers of a card. The ROM behind them has its place among what is below 4 GiB. */
const REGISTERS = 7;
/** More than any card has, MiB: 1 TiB. */
const MOST_MIB = 1 << 20;

/**
 * For the largest of the host's cards that are bound to VFIO now.
 *
 * @param sysfs another tree, for tests.
 * @returns undefined if what every port has is enough.
 */
export function cardWindows(sysfs = "/sys"): CardWindows | undefined {
  const drivers = names(`${sysfs}/bus/pci/drivers`).filter((name) => /vfio[-_]pci$/.test(name));
  const cards = drivers
    .flatMap((driver) => names(`${sysfs}/bus/pci/drivers/${driver}`))
    .filter(isPciAddress)
    .map((card) => windowsOf(readTextFileIfExists(`${sysfs}/bus/pci/devices/${card}/resource`) ?? ""));
  const memoryMib = Math.max(DEFAULT_MIB, ...cards.map((card) => card.memoryMib));
  const prefetchableMib = Math.max(DEFAULT_MIB, ...cards.map((card) => card.prefetchableMib));
  return Math.max(memoryMib, prefetchableMib) > DEFAULT_MIB ? { memoryMib, prefetchableMib } : undefined;
}

/** @param text `START END FLAGS` lines, hexadecimal; zeros for a register that is not there. */
export function windowsOf(text: string): CardWindows {
  let [memory, prefetchable] = [0n, 0n];
  for (const line of text.split("\n").slice(0, REGISTERS)) {
    const [, start, end, flags] =
      /^(0x[0-9a-f]{1,16}) (0x[0-9a-f]{1,16}) (0x[0-9a-f]{1,16})$/.exec(line) ?? [];
    if (start === undefined || end === undefined || flags === undefined) continue;
    if ((BigInt(flags) & IORESOURCE_MEM) === 0n || BigInt(end) <= BigInt(start)) continue;
    const bytes = BigInt(end) - BigInt(start) + 1n;
    if ((BigInt(flags) & IORESOURCE_ANYWHERE) === IORESOURCE_ANYWHERE) prefetchable += bytes;
    else memory += bytes;
  }
  return { memoryMib: room(memory), prefetchableMib: room(prefetchable) };
}

/**
 * Each register lies at a multiple of its size, so that all of them fit into the next power of two, wherever a window of twice that begins:
 * the kernel puts windows at multiples of a mebibyte.
 */
function room(bytes: bigint): number {
  let mib = 1;
  while (BigInt(mib) * MIB < bytes && mib < MOST_MIB) mib *= 2;
  return bytes === 0n ? 0 : 2 * mib;
}

function names(directory: string): string[] {
  try {
    return readDirectory(directory).map(({ name }) => name);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}
