/**
 * Capabilities by name and number.
 * Source: capabilities(7), linux/capability.h (Linux 6.18).
 */

/** The name at index n, behind `CAP_`, is capability n. */
const NAMES =
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE";

/** All names, `CAP_` in front, by number. */
export const CAPABILITY_NAMES: readonly string[] = NAMES.split(" ").map((name) => `CAP_${name}`);

const NUMBERS: ReadonlyMap<string, number> = new Map(CAPABILITY_NAMES.map((name, number) => [name, number]));

/** The number of `name` (`CAP_CHOWN`); undefined for one that this list does not know. */
export function capabilityNumber(name: string): number | undefined {
  return NUMBERS.get(name);
}

/**
 * A set as a mask: bit n is capability n. Unknown names are passed over, as the specification wants:
 * what cannot be granted does not keep a container from running. {@link unknownCapabilities} tells them for a warning.
 */
export function capabilityMask(names: readonly string[]): bigint {
  // In halves: big integers are made anew by each operation.
  let low = 0;
  let high = 0;
  for (const name of names) {
    const number = NUMBERS.get(name);
    if (number === undefined) continue;
    if (number < 32) low |= 1 << number;
    else high |= 1 << (number - 32);
  }
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** The names that are none. */
export function unknownCapabilities(names: readonly string[]): string[] {
  return names.filter((name) => !NUMBERS.has(name));
}

/** The low and the high 32 bits of a mask, as capset(2) takes them. */
export function splitCapabilityMask(mask: bigint): readonly [low: number, high: number] {
  return [Number(mask & 0xffff_ffffn), Number((mask >> 32n) & 0xffff_ffffn)];
}
