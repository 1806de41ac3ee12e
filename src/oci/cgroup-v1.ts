/**
 * Limits of a spec as writes to cgroups of version 1.
 *
 * Device rules are apart: device-rules.ts.
 * Sources: Linux Documentation/admin-guide/cgroup-v1; OCI runtime specification, "Control groups".
 */
import {
  type CgroupWrite,
  checkBlockWeight,
  checkDeviceName,
  checkNumberList,
  checkPageSize,
  given,
  invalidLimit,
  isUnlimited,
  pidsText,
  rdmaWrites,
} from "./cgroup-write.ts";
import type { LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources } from "./types.ts";

/** What a cgroup already says, for limits that depend on each other. */
export interface CurrentLimits {
  /** `memory.limit_in_bytes`; a new cgroup's is larger than any limit. */
  readonly memory?: bigint;
}

/**
 * What to write for `resources`, in order.
 *
 * A new `cpuset` cgroup has neither CPUs nor memory nodes: the caller copies its parent's before it writes ours. The kernel
 * may refuse a CPU period with the old quota (EINVAL): then the caller writes the quota first.
 *
 * @param current the present limits when a cgroup is changed, so that memory and memory+swap never contradict each other.
 * @throws KataError `invalid-argument` for limits that contradict the specification or version 1.
 */
export function cgroupV1Writes(resources: LinuxResources, current: CurrentLimits = {}): CgroupWrite[] {
  const { memory, cpu, pids, blockIO, hugepageLimits, network, rdma, unified } = resources;
  if (unified !== undefined && Object.keys(unified).length > 0) {
    throw invalidLimit("unified", "this system has no unified cgroup hierarchy");
  }
  const writes: CgroupWrite[] = [];
  if (cpu !== undefined) writes.push(...cpuWrites(cpu));
  if (memory !== undefined) writes.push(...memoryWrites(memory, current.memory));
  if (pids !== undefined) writes.push({ controller: "pids", file: "pids.max", value: pidsText(pids.limit) });
  if (blockIO !== undefined) writes.push(...blockWrites(blockIO));
  for (const { pageSize, limit } of hugepageLimits ?? []) {
    const file = `hugetlb.${checkPageSize(pageSize)}`;
    writes.push({ controller: "hugetlb", file: `${file}.limit_in_bytes`, value: String(limit) });
    writes.push({
      controller: "hugetlb",
      file: `${file}.rsvd.limit_in_bytes`,
      value: String(limit),
      optional: true,
    });
  }
  if (network?.classID !== undefined) {
    writes.push({ controller: "net_cls", file: "net_cls.classid", value: String(network.classID) });
  }
  for (const { name, priority } of network?.priorities ?? []) {
    writes.push({
      controller: "net_prio",
      file: "net_prio.ifpriomap",
      value: `${checkDeviceName(name)} ${priority}`,
    });
  }
  if (rdma !== undefined) writes.push(...rdmaWrites(rdma));
  return writes;
}

function cpuWrites(cpu: LinuxCpu): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  const write = (file: string, value: unknown) =>
    writes.push({ controller: "cpu", file, value: String(value) });
  if (cpu.idle !== undefined) write("cpu.idle", cpu.idle);
  // An idle group has no weight: the kernel refuses one.
  if (given(cpu.shares) && Number(cpu.idle ?? 0) !== 1) write("cpu.shares", cpu.shares);
  if (given(cpu.period)) write("cpu.cfs_period_us", cpu.period);
  if (given(cpu.quota)) write("cpu.cfs_quota_us", isUnlimited(cpu.quota) ? -1 : cpu.quota);
  if (cpu.burst !== undefined) write("cpu.cfs_burst_us", cpu.burst);
  if (given(cpu.realtimePeriod)) write("cpu.rt_period_us", cpu.realtimePeriod);
  if (given(cpu.realtimeRuntime)) write("cpu.rt_runtime_us", cpu.realtimeRuntime);
  if (cpu.cpus)
    writes.push({ controller: "cpuset", file: "cpuset.cpus", value: checkNumberList("cpus", cpu.cpus) });
  if (cpu.mems)
    writes.push({ controller: "cpuset", file: "cpuset.mems", value: checkNumberList("mems", cpu.mems) });
  return writes;
}

function memoryWrites(memory: LinuxMemory, currentLimit: bigint | undefined): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  const write = (file: string, value: unknown) =>
    writes.push({ controller: "memory", file, value: String(value) });
  // Without swap there is no such file, and nothing that could be swapped.
  const swapWrite = (value: unknown): CgroupWrite => ({
    controller: "memory",
    file: "memory.memsw.limit_in_bytes",
    value: String(value),
    optional: true,
  });
  const { limit } = memory;
  const unlimited = given(limit) && isUnlimited(limit);
  const swap = given(memory.swap) ? memory.swap : unlimited ? -1 : undefined;
  if (
    swap !== undefined &&
    given(limit) &&
    !isUnlimited(swap) &&
    (unlimited || BigInt(swap) < BigInt(limit))
  ) {
    throw invalidLimit(`memory swap ${swap}`, "memory and swap together are at least the memory limit");
  }
  // Memory+swap is never below memory, so the one that grows is written first.
  const swapFirst =
    swap !== undefined && currentLimit !== undefined && (isUnlimited(swap) || BigInt(swap) > currentLimit);
  if (swap !== undefined && swapFirst) writes.push(swapWrite(isUnlimited(swap) ? -1 : swap));
  if (given(limit)) write("memory.limit_in_bytes", unlimited ? -1 : limit);
  if (swap !== undefined && !swapFirst) writes.push(swapWrite(isUnlimited(swap) ? -1 : swap));
  if (given(memory.reservation)) {
    write("memory.soft_limit_in_bytes", isUnlimited(memory.reservation) ? -1 : memory.reservation);
  }
  // Newer kernels account kernel memory with all other and have no limit for it.
  for (const [file, value] of [
    ["memory.kmem.limit_in_bytes", memory.kernel],
    ["memory.kmem.tcp.limit_in_bytes", memory.kernelTCP],
  ] as const) {
    if (given(value)) writes.push({ controller: "memory", file, value: String(value), optional: true });
  }
  if (memory.swappiness !== undefined) {
    // Beyond what the specification has, as the kernel lets it: Linux mm/memcontrol.c, mem_cgroup_swappiness_write().
    if (BigInt(memory.swappiness) > 200n)
      throw invalidLimit(`swappiness ${memory.swappiness}`, "it is 0 to 200");
    write("memory.swappiness", memory.swappiness);
  }
  if (memory.useHierarchy === true) {
    writes.push({ controller: "memory", file: "memory.use_hierarchy", value: "1", optional: true });
  }
  if (memory.disableOOMKiller !== undefined) write("memory.oom_control", memory.disableOOMKiller ? 1 : 0);
  return writes;
}

function blockWrites(block: LinuxBlockIo): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  /** The plain file belongs to a scheduler that is gone from newer kernels, the other to the one that has followed. */
  const weigh = (file: string, bfqFile: string, value: string) => {
    const otherwise: CgroupWrite = { controller: "blkio", file: bfqFile, value };
    writes.push({ controller: "blkio", file, value, otherwise });
  };
  const { weight, leafWeight } = block;
  if (given(weight)) weigh("blkio.weight", "blkio.bfq.weight", String(checkBlockWeight(weight)));
  if (given(leafWeight)) {
    const value = String(checkBlockWeight(leafWeight));
    writes.push({ controller: "blkio", file: "blkio.leaf_weight", value, optional: true });
  }
  for (const device of block.weightDevice ?? []) {
    const number = `${device.major}:${device.minor}`;
    if (given(device.weight)) {
      const value = `${number} ${checkBlockWeight(device.weight)}`;
      weigh("blkio.weight_device", "blkio.bfq.weight_device", value);
    }
    if (given(device.leafWeight)) {
      const value = `${number} ${checkBlockWeight(device.leafWeight)}`;
      writes.push({ controller: "blkio", file: "blkio.leaf_weight_device", value, optional: true });
    }
  }
  for (const [file, devices] of [
    ["read_bps_device", block.throttleReadBpsDevice],
    ["write_bps_device", block.throttleWriteBpsDevice],
    ["read_iops_device", block.throttleReadIOPSDevice],
    ["write_iops_device", block.throttleWriteIOPSDevice],
  ] as const) {
    for (const { major, minor, rate } of devices ?? []) {
      writes.push({
        controller: "blkio",
        file: `blkio.throttle.${file}`,
        value: `${major}:${minor} ${rate ?? 0}`,
      });
    }
  }
  return writes;
}
