/**
 * The machine as a whole: names, memory, modules, power.
 * Sources: uname(2), sysinfo(2), sethostname(2), getdomainname(2), reboot(2), sync(2), init_module(2).
 */
import { EEXIST } from "./errno.ts";
import { check, kernel } from "./kernel.ts";
import { fromCString, utf8Encode } from "./utf8.ts";

export interface SystemName {
  readonly system: string;
  readonly hostname: string;
  /** `6.1.0-13-amd64` */
  readonly release: string;
  readonly version: string;
  /** `x86_64`, `aarch64` */
  readonly machine: string;
  readonly domain: string;
}

/** Bytes of each field of struct new_utsname. */
const NAME_BYTES = 65;

export function uname(): SystemName {
  const buffer = new Uint8Array(6 * NAME_BYTES);
  check(kernel().syscall("uname", buffer), "read name of", "system");
  const field = (index: number) => fromCString(buffer.subarray(index * NAME_BYTES, (index + 1) * NAME_BYTES));
  return {
    system: field(0),
    hostname: field(1),
    release: field(2),
    version: field(3),
    machine: field(4),
    domain: field(5),
  };
}

/** Memory in bytes. */
export interface SystemInfo {
  /** Seconds since the boot. */
  readonly uptime: number;
  /** Of the last 1, 5 and 15 minutes. */
  readonly loads: readonly [number, number, number];
  readonly totalMemory: number;
  readonly freeMemory: number;
  readonly sharedMemory: number;
  readonly bufferMemory: number;
  readonly totalSwap: number;
  readonly freeSwap: number;
  readonly processes: number;
}

/** Layout: struct sysinfo on 64 bits, 112 bytes: 10 longs, u16 and padding, 2 longs, u32. */
export function sysinfo(): SystemInfo {
  const words = new BigUint64Array(14);
  check(kernel().syscall("sysinfo", words), "read", "sysinfo");
  const word = (index: number) => Number(words[index] ?? 0n);
  const unit = Number((words[13] ?? 0n) & 0xffff_ffffn);
  return {
    uptime: word(0),
    loads: [word(1) / 65536, word(2) / 65536, word(3) / 65536],
    totalMemory: word(4) * unit,
    freeMemory: word(5) * unit,
    sharedMemory: word(6) * unit,
    bufferMemory: word(7) * unit,
    totalSwap: word(8) * unit,
    freeSwap: word(9) * unit,
    processes: Number((words[10] ?? 0n) & 0xffffn),
  };
}

/** Names the host of this UTS namespace, at most 64 bytes. */
export function sethostname(name: string): void {
  const bytes = utf8Encode(name);
  check(kernel().syscall("sethostname", bytes, bytes.length), "set host name", name);
}

/** Names the NIS domain of this UTS namespace, at most 64 bytes. */
export function setdomainname(name: string): void {
  const bytes = utf8Encode(name);
  check(kernel().syscall("setdomainname", bytes, bytes.length), "set domain name", name);
}

const REBOOT_MAGIC1 = 0xfee1dead;
const REBOOT_MAGIC2 = 0x28121969;
const REBOOT_COMMANDS = { "power-off": 0x4321fedc, restart: 0x01234567, halt: 0xcdef0123 };

/**
 * Ends the machine at once, without {@link sync}. In a PID namespace other than the first, only its init and all in it end.
 *
 * It comes back only if it failed.
 */
export function reboot(how: keyof typeof REBOOT_COMMANDS): void {
  const result = kernel().syscall("reboot", REBOOT_MAGIC1, REBOOT_MAGIC2, REBOOT_COMMANDS[how], null);
  check(result, how, "the machine");
}

/** Writes all that is cached to the disks, and waits for it. */
export function sync(): void {
  kernel().syscall("sync");
}

/** For {@link finitModule}: the file is compressed, and the kernel unpacks it. */
export const MODULE_INIT_COMPRESSED_FILE = 4;

/**
 * Loads a kernel module.
 *
 * @param fd its file.
 * @param parameters `name=value` separated by spaces.
 * @returns false if the module is there already.
 */
export function finitModule(fd: number, name: string, parameters = "", flags = 0): boolean {
  const result = kernel().syscall("finit_module", fd, parameters, flags);
  if (result === -EEXIST) return false;
  check(result, "load module", name);
  return true;
}
