/**
 * How a process is scheduled: its CPU policy, its I/O priority, its CPUs; and the machine that uname(2) shows it.
 * Sources: sched_setattr(2), ioprio_set(2), sched_setaffinity(2), personality(2); runtime-spec, "Scheduler", "IO Priority",
 * "Personality".
 */
import { KataError } from "../../kata-error.ts";
import { parseCpuList } from "../../oci/cpu-list.ts";
import type {
  LinuxIoPriority,
  LinuxPersonality,
  Process,
  Scheduler,
  SchedulerFlag,
  SchedulerPolicy,
} from "../../oci/types.ts";
import { check, kernel } from "../../sys/kernel.ts";

export interface SchedulingPlan {
  /** struct sched_attr. */
  readonly scheduler: Uint8Array | undefined;
  /** Class and priority as one number. */
  readonly ioPriority: number | undefined;
  /** CPU masks before and after the rest is set up; only for processes that join a container. */
  readonly initialCpus: Uint8Array | undefined;
  readonly finalCpus: Uint8Array | undefined;
  /** `PER_*`. */
  readonly personality: number | undefined;
}

const POLICIES: Readonly<Record<SchedulerPolicy, number>> = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
};

const FLAGS: Readonly<Record<SchedulerFlag, bigint>> = {
  SCHED_FLAG_RESET_ON_FORK: 0x01n,
  SCHED_FLAG_RECLAIM: 0x02n,
  SCHED_FLAG_DL_OVERRUN: 0x04n,
  SCHED_FLAG_KEEP_POLICY: 0x08n,
  SCHED_FLAG_KEEP_PARAMS: 0x10n,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20n,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40n,
};

const SCHED_ATTR_BYTES = 56;

/** @throws KataError `invalid-argument` for what nobody could set. */
export function planScheduling(
  { scheduler, ioPriority, execCPUAffinity }: Process,
  personality: LinuxPersonality | undefined,
): SchedulingPlan {
  return {
    scheduler: scheduler === undefined ? undefined : schedulerAttributes(scheduler),
    ioPriority: ioPriority === undefined ? undefined : ioPriorityNumber(ioPriority),
    initialCpus: cpuMask("initial", execCPUAffinity?.initial),
    finalCpus: cpuMask("final", execCPUAffinity?.final),
    personality: personalityNumber(personality),
  };
}

/** struct sched_attr: size u32, policy u32, flags u64, nice i32, priority u32, runtime, deadline and period u64. */
function schedulerAttributes(scheduler: Scheduler): Uint8Array {
  const { policy, nice = 0, priority = 0, flags = [], runtime = 0, deadline = 0, period = 0 } = scheduler;
  const isRealTime = policy === "SCHED_FIFO" || policy === "SCHED_RR";
  if (priority !== 0 && !isRealTime)
    throw invalid(`scheduler priority ${priority}`, "only SCHED_FIFO and SCHED_RR have one");
  const hasTimes = BigInt(runtime) !== 0n || BigInt(deadline) !== 0n || BigInt(period) !== 0n;
  if (hasTimes && policy !== "SCHED_DEADLINE")
    throw invalid("scheduler runtime, deadline or period", "only SCHED_DEADLINE has them");
  const view = new DataView(new ArrayBuffer(SCHED_ATTR_BYTES));
  view.setUint32(0, SCHED_ATTR_BYTES, true);
  view.setUint32(4, POLICIES[policy], true);
  view.setBigUint64(
    8,
    flags.reduce((bits, flag) => bits | FLAGS[flag], 0n),
    true,
  );
  view.setInt32(16, nice, true);
  view.setUint32(20, priority, true);
  view.setBigUint64(24, BigInt(runtime), true);
  view.setBigUint64(32, BigInt(deadline), true);
  view.setBigUint64(40, BigInt(period), true);
  return new Uint8Array(view.buffer);
}

const IO_CLASSES: Readonly<Record<LinuxIoPriority["class"], number>> = {
  IOPRIO_CLASS_RT: 1,
  IOPRIO_CLASS_BE: 2,
  IOPRIO_CLASS_IDLE: 3,
};
const IO_CLASS_SHIFT = 13;
const MAX_IO_PRIORITY = 7;

function ioPriorityNumber({ class: name, priority = 0 }: LinuxIoPriority): number {
  if (priority >= 0 && priority <= MAX_IO_PRIORITY) return (IO_CLASSES[name] << IO_CLASS_SHIFT) | priority;
  throw invalid(`ioPriority ${priority}`, `it is 0 to ${MAX_IO_PRIORITY}`);
}

function cpuMask(name: string, list: string | undefined): Uint8Array | undefined {
  if (list === undefined || list === "") return undefined;
  const cpus = parseCpuList(list);
  if (cpus.length === 0) throw invalid(`execCPUAffinity.${name}`, "it names no CPU");
  // The kernel wants whole words.
  const mask = new Uint8Array(8 * Math.ceil((Math.max(...cpus) + 1) / 64));
  for (const cpu of cpus) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7));
  return mask;
}

const PERSONALITIES = { LINUX: 0, LINUX32: 8 } as const;

function personalityNumber(personality: LinuxPersonality | undefined): number | undefined {
  if (personality === undefined) return undefined;
  if ((personality.flags?.length ?? 0) > 0) throw invalid("personality flags", "the specification has none");
  return PERSONALITIES[personality.domain ?? "LINUX"];
}

/** The CPUs on which a process sets itself up. */
export function applyInitialCpus({ initialCpus }: SchedulingPlan): void {
  if (initialCpus !== undefined) setAffinity(initialCpus);
}

function setAffinity(mask: Uint8Array): void {
  check(kernel().syscall("sched_setaffinity", 0, mask.length, mask), "set CPUs of", "process");
}

const IOPRIO_WHO_PROCESS = 1;

/** The rest, while the process may still raise its priority. */
export function applyScheduling({ scheduler, ioPriority, finalCpus, personality }: SchedulingPlan): void {
  if (personality !== undefined)
    check(kernel().syscall("personality", personality), "set personality", personality);
  if (ioPriority !== undefined)
    check(kernel().syscall("ioprio_set", IOPRIO_WHO_PROCESS, 0, ioPriority), "set I/O priority", ioPriority);
  if (finalCpus !== undefined) setAffinity(finalCpus);
  if (scheduler !== undefined)
    check(kernel().syscall("sched_setattr", 0, scheduler, 0), "set scheduler of", "process");
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "read process of spec", object, hint });
}
