/**
 * Limits of a spec as writes to the unified cgroup hierarchy.
 *
 * Device rules are apart: device-program.ts.
 * Sources: Linux Documentation/admin-guide/cgroup-v2.rst; OCI runtime specification, "Control groups".
 */
import {
  type CgroupWrite,
  checkBlockWeight,
  checkNumberList,
  checkPageSize,
  given,
  invalidLimit,
  isUnlimited,
  limitText,
  pidsText,
  rdmaWrites,
} from "./cgroup-write.ts";
import type { Int64, LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources } from "./types.ts";

/**
 * What to write for `resources`, in order. Their controllers are to be enabled in the parent first.
 *
 * Limits that version 2 has no counterpart for are passed over: kernel memory, swappiness, the OOM killer's switch,
 * real-time CPU, network classes.
 *
 * @throws KataError `invalid-argument` for limits that contradict the specification or each other.
 */
export function cgroupV2Writes(resources: LinuxResources): CgroupWrite[] {
  const { memory, cpu, pids, blockIO, hugepageLimits, rdma, unified } = resources;
  const writes: CgroupWrite[] = [];
  if (cpu !== undefined) writes.push(...cpuWrites(cpu));
  if (memory !== undefined) writes.push(...memoryWrites(memory));
  if (pids !== undefined) writes.push({ controller: "pids", file: "pids.max", value: pidsText(pids.limit) });
  if (blockIO !== undefined) writes.push(...blockWrites(blockIO));
  for (const { pageSize, limit } of hugepageLimits ?? []) {
    const file = `hugetlb.${checkPageSize(pageSize)}`;
    writes.push({ controller: "hugetlb", file: `${file}.max`, value: String(limit) });
    writes.push({ controller: "hugetlb", file: `${file}.rsvd.max`, value: String(limit), optional: true });
  }
  if (rdma !== undefined) writes.push(...rdmaWrites(rdma));
  // Last: who names a file means it, whatever the other fields say.
  for (const [file, value] of Object.entries(unified ?? {})) writes.push(unifiedWrite(file, value));
  return writes;
}

/** `cgroup.` files are how a runtime holds its processes; these few of them are limits. */
const CORE_LIMITS = ["cgroup.max.depth", "cgroup.max.descendants"];

function unifiedWrite(file: string, value: string): CgroupWrite {
  const controller = /^([a-z]{1,16})\.[A-Za-z0-9_.]{1,100}$/.exec(file)?.[1];
  if (controller === undefined || (controller === "cgroup" && !CORE_LIMITS.includes(file))) {
    throw invalidLimit(
      `unified file ${JSON.stringify(file.slice(0, 80))}`,
      "it is a file of a controller, such as memory.high",
    );
  }
  return { controller, file, value };
}

/** The weights that shares are mapped to, and the shares at either end. */
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const MAX_WEIGHT = 10_000;

/**
 * The weight (1 to 10000) for `shares` (2 to 262144): both ends are kept, and the usual 1024 becomes the usual 100.
 * Source: OCI runtime specification 1.3 and runc 1.4, a quadratic in the logarithm.
 */
export function cpuWeight(shares: Int64): number {
  const number = Number(shares);
  if (number <= MIN_SHARES) return 1;
  if (number >= MAX_SHARES) return MAX_WEIGHT;
  const l = Math.log2(number);
  return Math.ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34));
}

/** Microseconds; the kernel's own default. */
const DEFAULT_PERIOD = 100_000;

function cpuWrites(cpu: LinuxCpu): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  const write = (file: string, value: unknown) =>
    writes.push({ controller: "cpu", file, value: String(value) });
  if (cpu.idle !== undefined) write("cpu.idle", cpu.idle);
  // An idle group has no weight: the kernel refuses one.
  if (given(cpu.shares) && Number(cpu.idle ?? 0) !== 1) write("cpu.weight", cpuWeight(cpu.shares));
  if (given(cpu.quota) || given(cpu.period)) {
    const quota = given(cpu.quota) ? limitText(cpu.quota) : "max";
    write("cpu.max", `${quota} ${given(cpu.period) ? cpu.period : DEFAULT_PERIOD}`);
  }
  if (cpu.burst !== undefined) write("cpu.max.burst", cpu.burst);
  if (cpu.cpus)
    writes.push({ controller: "cpuset", file: "cpuset.cpus", value: checkNumberList("cpus", cpu.cpus) });
  if (cpu.mems)
    writes.push({ controller: "cpuset", file: "cpuset.mems", value: checkNumberList("mems", cpu.mems) });
  return writes;
}

function memoryWrites(memory: LinuxMemory): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  const { limit, reservation } = memory;
  const swap = swapLimit(memory);
  if (swap !== undefined) {
    // Without swap there is no such file, and nothing that could be swapped.
    writes.push({ controller: "memory", file: "memory.swap.max", value: swap, optional: true });
  }
  if (given(limit)) writes.push({ controller: "memory", file: "memory.max", value: limitText(limit) });
  if (given(reservation))
    writes.push({ controller: "memory", file: "memory.low", value: limitText(reservation) });
  return writes;
}

/** The spec limits memory and swap together, version 2 swap alone. Undefined: it stays as it is. */
function swapLimit({ limit, swap }: LinuxMemory): string | undefined {
  if (!given(swap)) return given(limit) && isUnlimited(limit) ? "max" : undefined;
  if (isUnlimited(swap)) return "max";
  if (!given(limit) || isUnlimited(limit)) {
    throw invalidLimit(`memory swap ${swap}`, "a swap limit needs a memory limit beside it");
  }
  if (BigInt(swap) < BigInt(limit)) {
    throw invalidLimit(`memory swap ${swap}`, "memory and swap together are at least the memory limit");
  }
  return String(BigInt(swap) - BigInt(limit));
}

/** A weight of 10 to 1000 on the scale of 1 to 10000. */
function ioWeight(weight: number): number {
  return 1 + Math.floor(((weight - 10) * 9999) / 990);
}

function blockWrites(block: LinuxBlockIo): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  // The scheduler that takes these weights as they are may not be there; the cost model takes others.
  const weigh = (weight: number, prefix: string) => {
    checkBlockWeight(weight);
    const otherwise: CgroupWrite = {
      controller: "io",
      file: "io.weight",
      value: `${prefix}${ioWeight(weight)}`,
      optional: true,
    };
    writes.push({ controller: "io", file: "io.bfq.weight", value: `${prefix}${weight}`, otherwise });
  };
  if (given(block.weight)) weigh(block.weight, "");
  for (const { major, minor, weight } of block.weightDevice ?? []) {
    if (given(weight)) weigh(weight, `${major}:${minor} `);
  }
  for (const [key, devices] of [
    ["rbps", block.throttleReadBpsDevice],
    ["wbps", block.throttleWriteBpsDevice],
    ["riops", block.throttleReadIOPSDevice],
    ["wiops", block.throttleWriteIOPSDevice],
  ] as const) {
    for (const { major, minor, rate } of devices ?? []) {
      const value = given(rate) ? rate : "max";
      writes.push({ controller: "io", file: "io.max", value: `${major}:${minor} ${key}=${value}` });
    }
  }
  return writes;
}
