/** The limits that `update` sets: a file's, with what the flags say laid over. Source: runc's `update`. */
import { KataError } from "../../kata-error.ts";
import type { LinuxCpu, LinuxMemory, LinuxResources } from "../../oci/types.ts";
import { textFlag } from "../flag-values.ts";
import type { FlagValues } from "../types.ts";

/** Units behind a number of bytes. */
const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};

/** @throws KataError `invalid-argument` for a value that is no number, `unsupported` for a limit that only the host could keep. */
export function resourcesToSet(base: LinuxResources, flags: FlagValues): LinuxResources {
  for (const name of ["l3-cache-schema", "mem-bw-schema"]) {
    if (flags.has(name)) {
      throw new KataError("unsupported", {
        operation: "update container",
        object: `--${name}`,
        hint: "caches and memory bandwidth are the host's, and cannot be divided inside of a machine",
      });
    }
  }
  const pids = integerFlag(flags, "pids-limit");
  const weight = integerFlag(flags, "blkio-weight");
  const cpu = laidOver<LinuxCpu>(base.cpu, {
    shares: integerFlag(flags, "cpu-share"),
    quota: integerFlag(flags, "cpu-quota"),
    period: integerFlag(flags, "cpu-period"),
    burst: integerFlag(flags, "cpu-burst"),
    realtimeRuntime: integerFlag(flags, "cpu-rt-runtime"),
    realtimePeriod: integerFlag(flags, "cpu-rt-period"),
    idle: integerFlag(flags, "cpu-idle"),
    cpus: textFlag(flags, "cpuset-cpus"),
    mems: textFlag(flags, "cpuset-mems"),
  });
  const memory = laidOver<LinuxMemory>(base.memory, {
    limit: bytesFlag(flags, "memory"),
    reservation: bytesFlag(flags, "memory-reservation"),
    swap: bytesFlag(flags, "memory-swap"),
  });
  return {
    ...base,
    ...(cpu === undefined ? {} : { cpu }),
    ...(memory === undefined ? {} : { memory }),
    ...(pids === undefined ? {} : { pids: { limit: pids } }),
    ...(weight === undefined ? {} : { blockIO: { ...base.blockIO, weight } }),
  };
}

function laidOver<T extends object>(
  base: T | undefined,
  changes: { readonly [Key in keyof T]?: T[Key] | undefined },
): T | undefined {
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  return given.length === 0 ? base : ({ ...base, ...Object.fromEntries(given) } as T);
}

function integerFlag(flags: FlagValues, name: string): number | undefined {
  const text = textFlag(flags, name);
  if (text === undefined) return undefined;
  if (/^-?\d{1,15}$/.test(text)) return Number(text);
  throw invalid(name, text, "an integer");
}

function bytesFlag(flags: FlagValues, name: string): number | undefined {
  const text = textFlag(flags, name);
  if (text === undefined) return undefined;
  const [, digits, unit] = /^(-?\d{1,15})([bkmgt]?)(?:i?b)?$/i.exec(text) ?? [];
  if (digits === undefined || unit === undefined)
    throw invalid(name, text, "a number of bytes as 512m, or -1");
  return Number(digits) * (UNITS[unit.toLowerCase()] ?? 1);
}

function invalid(name: string, value: string, hint: string): KataError {
  return new KataError("invalid-argument", {
    operation: "read command line",
    object: `--${name} ${JSON.stringify(value.slice(0, 80))}`,
    hint: `it is ${hint}`,
  });
}
