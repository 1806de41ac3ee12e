/**
 * Which devices the processes of a container may use: rules in order, of which the last that matches decides, for each kind
 * of access by itself.
 * Sources: OCI runtime specification, "Allowed Device list"; Linux Documentation/admin-guide/cgroup-v1/devices.rst.
 */
import { type CgroupWrite, invalidLimit } from "./cgroup-write.ts";
import type { LinuxDevice, LinuxDeviceCgroup } from "./types.ts";

/** Bits of access, as the kernel gives them to a device program (`BPF_DEVCG_ACC_*`). */
export const ACCESS_MKNOD = 1;
export const ACCESS_READ = 2;
export const ACCESS_WRITE = 4;
export const ACCESS_ALL = 7;

/** A rule with every field checked; undefined stands for any. */
export interface DeviceRule {
  readonly allow: boolean;
  readonly type: "b" | "c" | undefined;
  readonly major: number | undefined;
  readonly minor: number | undefined;
  readonly access: number;
}

/** Most rules of one container: the program for them stays short enough for any kernel. */
export const MAX_DEVICE_RULES = 512;

/** The largest number that a comparison in a device program holds. */
const MAX_NUMBER = 0x7fff_ffff;

/** @throws KataError `invalid-argument` for a rule that is none. */
export function readDeviceRules(rules: readonly LinuxDeviceCgroup[]): DeviceRule[] {
  if (rules.length > MAX_DEVICE_RULES)
    throw invalidLimit(`${rules.length} device rules`, `at most ${MAX_DEVICE_RULES} are kept`);
  return rules.map((rule) => ({
    allow: rule.allow,
    type: readType(rule.type),
    major: readNumber("major", rule.major),
    minor: readNumber("minor", rule.minor),
    access: readAccess(rule.access),
  }));
}

function readType(type: string | undefined): DeviceRule["type"] {
  if (type === undefined || type === "" || type === "a") return undefined;
  if (type === "b" || type === "c") return type;
  if (type === "u") return "c";
  throw invalidLimit(`device rule of type ${JSON.stringify(type.slice(0, 20))}`, "it is a, b or c");
}

function readNumber(what: string, number: number | undefined): number | undefined {
  if (number === undefined || number < 0) return undefined;
  if (number <= MAX_NUMBER) return number;
  throw invalidLimit(`device ${what} ${number}`, `it is at most ${MAX_NUMBER}`);
}

function readAccess(access: string | undefined): number {
  if (access === undefined || access === "") return ACCESS_ALL;
  let bits = 0;
  for (const letter of access) {
    if (letter === "r") bits |= ACCESS_READ;
    else if (letter === "w") bits |= ACCESS_WRITE;
    else if (letter === "m") bits |= ACCESS_MKNOD;
    else
      throw invalidLimit(`device access ${JSON.stringify(access.slice(0, 20))}`, "it is made of r, w and m");
  }
  return bits;
}

/**
 * What every container may use: the nodes that it always has, its terminals, and making any node (which gives no access to
 * what is behind it).
 */
// biome-ignore format: a table
export const DEFAULT_DEVICE_RULES: readonly LinuxDeviceCgroup[] = [
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  ...[[1, 3], [1, 5], [1, 7], [1, 8], [1, 9], [5, 0], [5, 1], [5, 2]].map(
    ([major = 0, minor = 0]): LinuxDeviceCgroup => ({ allow: true, type: "c", major, minor, access: "rwm" }),
  ),
  { allow: true, type: "c", major: 136, access: "rwm" },
];

/**
 * The rules of a whole container: nothing, then what the spec says, the devices that it has, and what every container has.
 *
 * @param devices nodes that are made in the container; their numbers are this machine's.
 */
export function containerDeviceRules(
  rules: readonly LinuxDeviceCgroup[],
  devices: readonly LinuxDevice[],
): LinuxDeviceCgroup[] {
  const own = devices
    .filter(({ type }) => type !== "p")
    .map(
      ({ type, major = 0, minor = 0 }): LinuxDeviceCgroup => ({
        allow: true,
        type,
        major,
        minor,
        access: "rwm",
      }),
    );
  return [{ allow: false }, ...rules, ...own, ...DEFAULT_DEVICE_RULES];
}

/**
 * `rules` as writes to a cgroup of version 1 that so far allows everything.
 *
 * There the kernel keeps a default and exceptions from it, and takes back only an exception that it has been given just so.
 *
 * @throws KataError `invalid-argument` for rules that version 1 would not keep: an exception to an exception.
 */
export function deviceWrites(rules: readonly LinuxDeviceCgroup[]): CgroupWrite[] {
  let allowsByDefault = true;
  let exceptions: DeviceRule[] = [];
  const writes: CgroupWrite[] = [];
  for (const rule of readDeviceRules(rules)) {
    const file = rule.allow ? "devices.allow" : "devices.deny";
    if (
      rule.type === undefined &&
      rule.major === undefined &&
      rule.minor === undefined &&
      rule.access === ACCESS_ALL
    ) {
      allowsByDefault = rule.allow;
      exceptions = [];
      writes.push({ controller: "devices", file, value: "a" });
      continue;
    }
    // The word `a` means everything whatever follows it, so a rule for both types is written twice.
    for (const type of rule.type === undefined ? (["b", "c"] as const) : [rule.type]) {
      const one = { ...rule, type };
      if (rule.allow !== allowsByDefault) exceptions.push(one);
      else checkTakenBack(one, exceptions);
      writes.push({ controller: "devices", file, value: ruleText(one) });
    }
  }
  return writes;
}

function checkTakenBack(rule: DeviceRule, exceptions: readonly DeviceRule[]): void {
  const meets = (a: number | undefined, b: number | undefined) =>
    a === undefined || b === undefined || a === b;
  for (const other of exceptions) {
    const same = other.major === rule.major && other.minor === rule.minor;
    const overlaps =
      meets(other.major, rule.major) && meets(other.minor, rule.minor) && (other.access & rule.access) !== 0;
    if (other.type !== rule.type || same || !overlaps) continue;
    throw invalidLimit(
      `device rule ${rule.allow ? "allow" : "deny"} ${ruleText(rule)} after ${ruleText(other)}`,
      "cgroup version 1 keeps no exception within an exception",
    );
  }
}

function ruleText({ type, major, minor, access }: DeviceRule): string {
  const letters = `${access & ACCESS_READ ? "r" : ""}${access & ACCESS_WRITE ? "w" : ""}${access & ACCESS_MKNOD ? "m" : ""}`;
  return `${type ?? "a"} ${major ?? "*"}:${minor ?? "*"} ${letters}`;
}
