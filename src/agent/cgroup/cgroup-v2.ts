/**
 * A container's cgroup of version 2: one directory.
 * Source: Linux Documentation/admin-guide/cgroup-v2.rst.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { cgroupV2Writes } from "../../oci/cgroup-v2.ts";
import { compileDeviceProgram } from "../../oci/device-program.ts";
import { containerDeviceRules } from "../../oci/device-rules.ts";
import type { LinuxDevice, LinuxDeviceCgroup, LinuxResources } from "../../oci/types.ts";
import { attachDeviceProgram, detachDeviceProgram, loadDeviceProgram } from "../../sys/bpf.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import {
  exists,
  O_RDONLY,
  open,
  readDirectory,
  readTextFileIfExists,
  writeExisting,
} from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import type { VisibleCgroup } from "../container/cgroup-mount.ts";
import type { ContainerCgroup } from "../container/container-cgroup.ts";
import {
  checkMemoryUse,
  directoriesOf,
  killProcesses,
  makeDirectories,
  processesBelow,
  readValueIfExists,
  removeIfUnused,
  removeTree,
  writeLimit,
} from "./cgroup-directory.ts";
import {
  type CgroupStatistics,
  type LimitedUsage,
  NO_USAGE,
  parseCount,
  parseFlatKeyed,
  parseIoStat,
  UNLIMITED,
  type UsageCounters,
} from "./statistics.ts";

/** Until all processes stand still, ms. */
const FREEZE_DEADLINE_MS = 10_000;
/** Longest events file, bytes: some lines of a name and a number. */
const MAX_EVENTS_BYTES = 4096;

export class CgroupV2 implements ContainerCgroup {
  readonly visible: VisibleCgroup;
  readonly #mountPoint: string;
  readonly #directory: string;
  readonly #made: readonly string[];
  readonly #devices: readonly LinuxDevice[];
  #deviceProgram: SharedProgram | undefined;
  #oomEvents: FileDescriptor | undefined;
  /** The container's first process. */
  #firstPid: number | undefined;

  /**
   * Makes the directories of `relative`; nothing is left of them if that fails.
   *
   * @param isEnabled whether all controllers are enabled in `mountPoint`.
   */
  constructor(mountPoint: string, relative: string, devices: readonly LinuxDevice[], isEnabled = false) {
    this.#mountPoint = mountPoint;
    this.#devices = devices;
    this.#directory = directoriesOf(mountPoint, relative).at(-1) ?? mountPoint;
    this.visible = { version: 2, directory: this.#directory };
    if (!isEnabled) enableControllers(mountPoint);
    this.#made = makeDirectories(mountPoint, relative, (directory) => {
      if (directory !== this.#directory) enableControllers(directory);
    });
  }

  add(pid: number): void {
    this.#firstPid ??= pid;
    try {
      writeExisting(`${this.#directory}/cgroup.procs`, String(pid));
    } catch (error) {
      // The container has divided its cgroup, which then holds no process itself: its first process shows where to go.
      const inner = hasErrno(error, "EBUSY") ? this.#directoryOfFirst() : undefined;
      if (inner === undefined) throw error;
      writeExisting(`${inner}/cgroup.procs`, String(pid));
    }
  }

  #directoryOfFirst(): string | undefined {
    const text = readTextFileIfExists(`/proc/${this.#firstPid}/cgroup`) ?? "";
    const path = /^0::(\/.*)$/m.exec(text)?.[1];
    const directory = `${this.#mountPoint}${path}`;
    const isBelow = directory.startsWith(`${this.#directory}/`) && !directory.split("/").includes("..");
    return isBelow ? directory : undefined;
  }

  apply(resources: LinuxResources): void {
    const writes = cgroupV2Writes(resources);
    checkMemoryUse(resources, () => readValueIfExists(this.#directory, "memory.current"));
    for (const write of writes) {
      // Without huge pages there is nothing to limit to nothing.
      const pointless = write.controller === "hugetlb" && write.value === "0";
      writeLimit(this.#directory, pointless ? { ...write, optional: true } : write);
    }
  }

  /** The kernel itself gives a cgroup without a choice all CPUs that there are. */
  followCpus(): void {
    return;
  }

  /** Sets what devices its processes may use; what they have open stays open. */
  restrictDevices(resources: LinuxResources): void {
    const program = takeProgram(containerDeviceRules(resources.devices ?? [], this.#devices));
    const old = this.#deviceProgram;
    if (program === old) {
      program.users--;
      return;
    }
    try {
      // Both count until the old one is gone, so nothing is allowed meanwhile that neither allows.
      attachDeviceProgram(this.#directory, program.descriptor.fd);
    } catch (error) {
      releaseProgram(program);
      throw error;
    }
    this.#deviceProgram = program;
    if (old === undefined) return;
    detachDeviceProgram(this.#directory, old.descriptor.fd);
    releaseProgram(old);
  }

  async freeze(): Promise<void> {
    writeExisting(`${this.#directory}/cgroup.freeze`, "1");
    if (await this.#untilEvent("frozen", 1n, FREEZE_DEADLINE_MS)) return;
    await this.thaw();
    throw new KataError("deadline-exceeded", {
      operation: "freeze cgroup",
      object: this.#directory,
      hint: "a process does not stand still; it may hang in a file system",
    });
  }

  async thaw(): Promise<void> {
    writeExisting(`${this.#directory}/cgroup.freeze`, "0");
  }

  /** Waits until cgroup.events says `value` for `key`. @returns false after `ms`. */
  async #untilEvent(key: string, value: bigint, ms: number): Promise<boolean> {
    using events = open(`${this.#directory}/cgroup.events`, O_RDONLY);
    const deadline = new CancelSource();
    const timer = loop.after(ms, () => deadline.cancel());
    try {
      while (parseFlatKeyed(rereadEvents(events)).get(key) !== value) {
        if (deadline.signal.aborted) return false;
        await loop.exceptional(events.fd, deadline.signal).catch((error: unknown) => {
          if (!deadline.signal.aborted) throw error;
        });
      }
      return true;
    } finally {
      timer.cancel();
      loop.forget(events.fd);
    }
  }

  pids(): number[] {
    return processesBelow(this.#directory);
  }

  async killAll(): Promise<void> {
    try {
      writeExisting(`${this.#directory}/cgroup.kill`, "1");
    } catch (error) {
      if (!hasErrno(error, "ENOENT", "ENODEV")) throw error;
      if (!exists(this.#directory)) return;
      // Before Linux 5.14.
      killProcesses(this.#directory);
    }
    await this.thaw();
  }

  watchOom(onKill: () => void, onFailure: (error: unknown) => void): void {
    if (this.#oomEvents !== undefined || !exists(`${this.#directory}/memory.events`)) return;
    const events = open(`${this.#directory}/memory.events`, O_RDONLY);
    this.#oomEvents = events;
    this.#followOom(events, onKill).catch((error: unknown) => {
      // ENODEV: the cgroup is removed.
      if (events.isOpen && !hasErrno(error, "ENODEV")) onFailure(error);
    });
  }

  async #followOom(events: FileDescriptor, onKill: () => void): Promise<void> {
    let before = 0n;
    for (;;) {
      const kills = parseFlatKeyed(rereadEvents(events)).get("oom_kill") ?? 0n;
      if (kills > before) onKill();
      before = kills;
      await loop.exceptional(events.fd);
    }
  }

  statistics(): CgroupStatistics {
    const read = (file: string) => readValueIfExists(this.#directory, file);
    const cpu = parseFlatKeyed(read("cpu.stat"));
    const nanoseconds = (key: string) => (cpu.get(key) ?? 0n) * 1000n;
    const details = parseFlatKeyed(read("memory.stat"));
    return {
      cpu: {
        total: nanoseconds("usage_usec"),
        perCpu: [],
        kernel: nanoseconds("system_usec"),
        user: nanoseconds("user_usec"),
        periods: cpu.get("nr_periods") ?? 0n,
        throttledPeriods: cpu.get("nr_throttled") ?? 0n,
        throttledTime: nanoseconds("throttled_usec"),
      },
      memory: {
        cache: details.get("file") ?? 0n,
        ...memoryUsage(read),
        kernel: NO_USAGE,
        useHierarchy: true,
        details,
      },
      pids: { current: parseCount(read("pids.current")), limit: parseCount(read("pids.max")) },
      block: parseIoStat(read("io.stat")),
      hugePages: this.#hugePages(read),
    };
  }

  #hugePages(read: (file: string) => string | undefined): Map<string, UsageCounters> {
    const sizes = new Map<string, UsageCounters>();
    for (const { name } of readDirectory(this.#directory)) {
      const size = /^hugetlb\.(\w+)\.current$/.exec(name)?.[1];
      if (size === undefined) continue;
      const failures = parseFlatKeyed(read(`hugetlb.${size}.events`)).get("max") ?? 0n;
      sizes.set(size, { usage: parseCount(read(name)), maxUsage: 0n, failures });
    }
    return sizes;
  }

  async remove(): Promise<void> {
    const events = this.#oomEvents;
    if (events?.isOpen) {
      loop.forget(events.fd);
      events.close();
    }
    if (this.#deviceProgram !== undefined) releaseProgram(this.#deviceProgram);
    this.#deviceProgram = undefined;
    await removeTree(this.#directory);
    removeIfUnused(this.#made);
  }
}

/** A loaded device program, and how many containers have it. */
interface SharedProgram {
  readonly key: string;
  readonly descriptor: FileDescriptor;
  users: number;
}

/** Programs by their rules: the containers of a pod, and of most pods, have the same. */
const programs = new Map<string, SharedProgram>();
/** Beyond these one that nobody uses is closed. */
const MAX_PROGRAMS = 8;

function takeProgram(rules: readonly LinuxDeviceCgroup[]): SharedProgram {
  const key = JSON.stringify(rules);
  let program = programs.get(key);
  if (program === undefined) {
    program = { key, descriptor: loadDeviceProgram(compileDeviceProgram(rules)), users: 0 };
    programs.set(key, program);
  }
  program.users++;
  return program;
}

function releaseProgram(program: SharedProgram): void {
  program.users--;
  if (program.users > 0 || programs.size <= MAX_PROGRAMS) return;
  programs.delete(program.key);
  program.descriptor.close();
}

/** Enables in `directory`, for its children, every controller that it has; one that is refused is not to be had. */
function enableControllers(directory: string): void {
  const controllers = (readValueIfExists(directory, "cgroup.controllers") ?? "").split(" ").filter(Boolean);
  const enabled = new Set((readValueIfExists(directory, "cgroup.subtree_control") ?? "").split(" "));
  for (const controller of controllers) {
    if (enabled.has(controller)) continue;
    try {
      writeExisting(`${directory}/cgroup.subtree_control`, `+${controller}`);
    } catch (error) {
      // EBUSY: processes are in it. A limit that needs the controller says that it is missing.
      if (!hasErrno(error, "EBUSY", "EINVAL", "ENOENT", "EOPNOTSUPP")) throw error;
    }
  }
}

/** The content of an events file; reading it also rearms the kernel's notice of changes. */
function rereadEvents(file: FileDescriptor): string {
  const buffer = new Uint8Array(MAX_EVENTS_BYTES);
  const length = kernel().syscall("pread64", file.fd, buffer, buffer.length, 0);
  if (length >= 0) return utf8Decode(buffer.subarray(0, length));
  throw new KataError("system-call", {
    operation: "read events of cgroup",
    object: `fd ${file.fd}`,
    errno: "ENODEV",
  });
}

function memoryUsage(read: (file: string) => string | undefined): {
  readonly usage: LimitedUsage;
  readonly swap: LimitedUsage;
} {
  const events = parseFlatKeyed(read("memory.events"));
  const usage: LimitedUsage = {
    usage: parseCount(read("memory.current")),
    maxUsage: parseCount(read("memory.peak")),
    failures: events.get("max") ?? 0n,
    limit: parseCount(read("memory.max"), UNLIMITED),
  };
  const swapped = read("memory.swap.current");
  if (swapped === undefined) return { usage, swap: NO_USAGE };
  const swapLimit = parseCount(read("memory.swap.max"), UNLIMITED);
  const unlimited = usage.limit === UNLIMITED || swapLimit === UNLIMITED;
  return {
    usage,
    swap: {
      usage: usage.usage + parseCount(swapped),
      maxUsage: 0n,
      failures: 0n,
      limit: unlimited ? UNLIMITED : usage.limit + swapLimit,
    },
  };
}
