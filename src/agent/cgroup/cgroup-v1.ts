/**
 * A container's cgroup of version 1: a directory in the hierarchy of each controller.
 * Source: Linux Documentation/admin-guide/cgroup-v1.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { cgroupV1Writes } from "../../oci/cgroup-v1.ts";
import type { CgroupWrite } from "../../oci/cgroup-write.ts";
import { containerDeviceRules, deviceWrites } from "../../oci/device-rules.ts";
import type { LinuxDevice, LinuxResources } from "../../oci/types.ts";
import { sleep } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { eventfd, takeEvents } from "../../sys/eventfd.ts";
import { exists, O_RDONLY, open, readDirectory, writeExisting } from "../../sys/files.ts";
import type { VisibleCgroup } from "../container/cgroup-mount.ts";
import type { ContainerCgroup } from "../container/container-cgroup.ts";
import {
  checkMemoryUse,
  directoriesOf,
  killProcesses,
  makeDirectories,
  missing,
  processesBelow,
  readValue,
  readValueIfExists,
  removeIfUnused,
  removeTree,
  writeLimit,
} from "./cgroup-directory.ts";
import type { Hierarchy } from "./hierarchies.ts";
import {
  type CgroupStatistics,
  type CpuStatistics,
  type LimitedUsage,
  NO_USAGE,
  parseBlockLines,
  parseCount,
  parseFlatKeyed,
  type UsageCounters,
} from "./statistics.ts";

/** Until all processes stand still, ms. */
const FREEZE_DEADLINE_MS = 10_000;
/** How often the state is asked for, ms: the kernel has no event for it. */
const FREEZE_INTERVAL_MS = 2;
/** Freezing before killing only keeps processes from forking meanwhile, ms. */
const KILL_FREEZE_MS = 200;

/** Clock ticks of a second (`USER_HZ`), in which cpuacct.stat counts. */
const NANOSECONDS_PER_TICK = 10_000_000n;

export class CgroupV1 implements ContainerCgroup {
  readonly visible: VisibleCgroup;
  readonly #hierarchies: readonly (Hierarchy & { readonly directory: string })[];
  readonly #made: string[] = [];
  readonly #devices: readonly LinuxDevice[];
  readonly #relative: string;
  /** Whether the spec has chosen its CPUs. */
  #hasOwnCpus = false;
  #oomEvents: FileDescriptor | undefined;

  /** Makes the directories of `relative` in all hierarchies; nothing is left of them if that fails. */
  constructor(hierarchies: readonly Hierarchy[], relative: string, devices: readonly LinuxDevice[]) {
    this.#devices = devices;
    this.#relative = relative;
    this.#hierarchies = hierarchies.map((hierarchy) => ({
      ...hierarchy,
      directory: directoriesOf(hierarchy.mountPoint, relative).at(-1) ?? hierarchy.mountPoint,
    }));
    this.visible = {
      version: 1,
      hierarchies: this.#hierarchies.map(({ name, directory }) => ({ name, directory })),
    };
    try {
      for (const { mountPoint, controllers } of hierarchies) {
        const prepare = controllers.includes("cpuset") ? inheritCpuset : () => undefined;
        this.#made.push(...makeDirectories(mountPoint, relative, prepare));
      }
    } catch (error) {
      removeIfUnused(this.#made);
      throw error;
    }
  }

  /** Its directory in the hierarchy of `controller`, or undefined if the machine has none. */
  #directory(controller: string): string | undefined {
    return this.#hierarchies.find(({ controllers }) => controllers.includes(controller))?.directory;
  }

  add(pid: number): void {
    for (const { directory } of this.#hierarchies) writeExisting(`${directory}/cgroup.procs`, String(pid));
  }

  apply(resources: LinuxResources): void {
    if (resources.cpu?.cpus) this.#hasOwnCpus = true;
    const memory = this.#directory("memory");
    if (memory !== undefined)
      checkMemoryUse(resources, () => readValueIfExists(memory, "memory.usage_in_bytes"));
    const limit = memory === undefined ? undefined : readValueIfExists(memory, "memory.limit_in_bytes");
    const current = limit === undefined ? {} : { memory: parseCount(limit) };
    const writes = cgroupV1Writes(resources, current);
    for (let index = 0; index < writes.length; index++) {
      const [write, next] = [writes[index], writes[index + 1]];
      if (write === undefined) continue;
      try {
        this.#write(write);
      } catch (error) {
        // A period may need its new quota first.
        if (write.file !== "cpu.cfs_period_us" || !hasErrno(error, "EINVAL")) throw error;
        if (next?.file !== "cpu.cfs_quota_us") throw error;
        this.#write(next);
        this.#write(write);
        index++;
      }
    }
  }

  /** A cgroup of version 1 keeps the CPUs that it was made with, and so do those above it. */
  followCpus(): void {
    const hierarchy = this.#hierarchies.find(({ controllers }) => controllers.includes("cpuset"));
    if (hierarchy === undefined || this.#hasOwnCpus) return;
    let cpus = readValue(hierarchy.mountPoint, "cpuset.cpus");
    for (const directory of directoriesOf(hierarchy.mountPoint, this.#relative)) {
      writeExisting(`${directory}/cpuset.cpus`, cpus);
      cpus = readValue(directory, "cpuset.cpus");
    }
  }

  /** Sets what devices its processes may use; what they have open stays open. */
  restrictDevices(resources: LinuxResources): void {
    for (const write of deviceWrites(containerDeviceRules(resources.devices ?? [], this.#devices)))
      this.#write(write);
  }

  #write(write: CgroupWrite): void {
    const directory = this.#directory(write.controller);
    if (directory !== undefined) writeLimit(directory, write);
    // Without huge pages there is nothing to limit to nothing.
    else if (write.optional !== true && !(write.controller === "hugetlb" && write.value === "0"))
      throw missing(write);
  }

  async freeze(): Promise<void> {
    if (await this.#freezeWithin(FREEZE_DEADLINE_MS)) return;
    await this.thaw();
    throw new KataError("deadline-exceeded", {
      operation: "freeze cgroup",
      object: this.#freezer(),
      hint: "a process does not stand still; it may hang in a file system",
    });
  }

  #freezer(): string {
    const directory = this.#directory("freezer");
    if (directory !== undefined) return directory;
    throw new KataError("unsupported", {
      operation: "freeze cgroup",
      object: "this machine has no freezer controller",
    });
  }

  async #freezeWithin(ms: number): Promise<boolean> {
    const directory = this.#freezer();
    const end = loop.now() + ms;
    for (;;) {
      // Again each time: a process that was forked meanwhile is only frozen then.
      writeExisting(`${directory}/freezer.state`, "FROZEN");
      if (readValue(directory, "freezer.state") === "FROZEN") return true;
      if (loop.now() > end) return false;
      await sleep(loop, FREEZE_INTERVAL_MS);
    }
  }

  async thaw(): Promise<void> {
    writeExisting(`${this.#freezer()}/freezer.state`, "THAWED");
  }

  pids(): number[] {
    const [first] = this.#hierarchies;
    const directory = this.#directory("pids") ?? first?.directory;
    return directory === undefined ? [] : processesBelow(directory);
  }

  async killAll(): Promise<void> {
    const [first] = this.#hierarchies;
    const directory = this.#directory("freezer") ?? first?.directory;
    if (directory === undefined || !exists(directory)) return;
    if (this.#directory("freezer") === undefined) {
      killProcesses(directory);
      return;
    }
    try {
      await this.#freezeWithin(KILL_FREEZE_MS);
      killProcesses(directory);
      await this.thaw();
    } catch (error) {
      // Removed meanwhile: then there are no processes.
      if (!hasErrno(error, "ENOENT", "ENODEV") || exists(directory)) throw error;
    }
  }

  /** The kernel tells the beginning of each shortage by an eventfd. Source: cgroup-v1/memory.rst, "OOM Control". */
  watchOom(onKill: () => void, onFailure: (error: unknown) => void): void {
    const directory = this.#directory("memory");
    if (directory === undefined || this.#oomEvents !== undefined) return;
    const events = eventfd();
    try {
      using control = open(`${directory}/memory.oom_control`, O_RDONLY);
      writeExisting(`${directory}/cgroup.event_control`, `${events.fd} ${control.fd}`);
    } catch (error) {
      events.close();
      throw error;
    }
    this.#oomEvents = events;
    this.#followOom(events, directory, onKill).catch((error: unknown) => {
      if (events.isOpen) onFailure(error);
    });
  }

  async #followOom(events: FileDescriptor, directory: string, onKill: () => void): Promise<void> {
    for (;;) {
      await loop.readable(events.fd);
      // The removal of the cgroup is an event, too.
      if (takeEvents(events.fd) > 0n && exists(directory)) onKill();
    }
  }

  statistics(): CgroupStatistics {
    const pids = this.#reader("pids");
    const block = this.#reader("blkio");
    const blockLines = (file: string) =>
      parseBlockLines(block(`blkio.throttle.${file}_recursive`) ?? block(`blkio.bfq.${file}_recursive`));
    const memory = this.#reader("memory");
    const details = parseFlatKeyed(memory("memory.stat"));
    return {
      cpu: this.#cpuStatistics(),
      memory: {
        cache: details.get("cache") ?? 0n,
        usage: limitedUsage(memory, "memory"),
        swap: limitedUsage(memory, "memory.memsw"),
        kernel: limitedUsage(memory, "memory.kmem"),
        useHierarchy: memory("memory.use_hierarchy") !== "0",
        details,
      },
      pids: { current: parseCount(pids("pids.current")), limit: parseCount(pids("pids.max")) },
      block: { serviceBytes: blockLines("io_service_bytes"), serviced: blockLines("io_serviced") },
      hugePages: this.#hugePages(),
    };
  }

  #reader(controller: string): (file: string) => string | undefined {
    const directory = this.#directory(controller);
    return (file) => (directory === undefined ? undefined : readValueIfExists(directory, file));
  }

  #cpuStatistics(): CpuStatistics {
    const accounting = this.#reader("cpuacct");
    const ticks = parseFlatKeyed(accounting("cpuacct.stat"));
    const throttling = parseFlatKeyed(this.#reader("cpu")("cpu.stat"));
    return {
      total: parseCount(accounting("cpuacct.usage")),
      perCpu: (accounting("cpuacct.usage_percpu") ?? "")
        .split(/\s+/)
        .filter(Boolean)
        .map((count) => parseCount(count)),
      kernel: (ticks.get("system") ?? 0n) * NANOSECONDS_PER_TICK,
      user: (ticks.get("user") ?? 0n) * NANOSECONDS_PER_TICK,
      periods: throttling.get("nr_periods") ?? 0n,
      throttledPeriods: throttling.get("nr_throttled") ?? 0n,
      throttledTime: throttling.get("throttled_time") ?? 0n,
    };
  }

  #hugePages(): Map<string, UsageCounters> {
    const sizes = new Map<string, UsageCounters>();
    const directory = this.#directory("hugetlb");
    if (directory === undefined) return sizes;
    const read = this.#reader("hugetlb");
    for (const { name } of readDirectory(directory)) {
      const size = /^hugetlb\.(\w+)\.usage_in_bytes$/.exec(name)?.[1];
      if (size === undefined) continue;
      const { limit: _limit, ...usage } = limitedUsage(read, `hugetlb.${size}`);
      sizes.set(size, usage);
    }
    return sizes;
  }

  async remove(): Promise<void> {
    const events = this.#oomEvents;
    if (events?.isOpen) {
      loop.forget(events.fd);
      events.close();
    }
    for (const { directory } of this.#hierarchies) await removeTree(directory);
    removeIfUnused(this.#made);
  }
}

/** A new cpuset has neither CPUs nor memory nodes, and takes no process without them. */
function inheritCpuset(directory: string, parent: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    const own = readValue(directory, file);
    if (own === "") writeExisting(`${directory}/${file}`, readValue(parent, file));
  }
}

function limitedUsage(read: (file: string) => string | undefined, prefix: string): LimitedUsage {
  const usage = read(`${prefix}.usage_in_bytes`);
  if (usage === undefined) return NO_USAGE;
  return {
    usage: parseCount(usage),
    maxUsage: parseCount(read(`${prefix}.max_usage_in_bytes`)),
    failures: parseCount(read(`${prefix}.failcnt`)),
    limit: parseCount(read(`${prefix}.limit_in_bytes`)),
  };
}
