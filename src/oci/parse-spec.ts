/**
 * The door for `config.json`, and for the parts of it that come alone: a process to run, resources to change.
 *
 * Values are checked for type and range; what is unknown to the specification is dropped. Whether a value makes sense on
 * this machine is for the code that uses it.
 * Source: OCI runtime specification 1.3 with its JSON schema.
 */
import { describeError, KataError } from "../kata-error.ts";
import {
  BIG_INTEGER_MARK,
  type Fields,
  finished,
  flag,
  int32,
  int64,
  integer,
  listOf,
  mapOf,
  matching,
  objectOf,
  oneOf,
  optional,
  type Reader,
  readDocument,
  text,
  uint16,
  uint32,
  uint64,
} from "./json-reader.ts";
import type {
  CpuAffinity,
  Hook,
  Hooks,
  Linux,
  LinuxBlockIo,
  LinuxCapabilities,
  LinuxCpu,
  LinuxDevice,
  LinuxDeviceCgroup,
  LinuxIdMapping,
  LinuxIntelRdt,
  LinuxIoPriority,
  LinuxMemory,
  LinuxMemoryPolicy,
  LinuxNetDevice,
  LinuxNetwork,
  LinuxPersonality,
  LinuxRdma,
  LinuxResources,
  LinuxSeccomp,
  LinuxSeccompArg,
  LinuxSyscall,
  LinuxThrottleDevice,
  LinuxTimeOffset,
  LinuxTimeOffsets,
  LinuxWeightDevice,
  Mount,
  Namespace,
  Process,
  Root,
  Scheduler,
  Spec,
  User,
} from "./types.ts";

/** Longest text of a spec, UTF-16 units; a large real one has some 100 Ki. */
export const MAX_SPEC_LENGTH = 16 << 20;

const texts = listOf(text, "strings");
const textMap = mapOf(text);

/** A device number; writers older than the specification's "absent" use -1 for any. */
const deviceNumber = integer(-1, 0xffff_ffff);

const idMappings = listOf(
  objectOf<LinuxIdMapping>({ containerID: uint32, hostID: uint32, size: uint32 }),
  "id mappings",
);

const userFields = objectOf<Partial<User>>({
  uid: optional(uint32),
  gid: optional(uint32),
  umask: optional(uint32),
  additionalGids: optional(listOf(uint32, "group ids")),
  username: optional(text),
});

/** Ids that are not given are root's, as the writers' languages have it. */
const user: Reader<User> = finished(userFields, (fields) => ({ uid: 0, gid: 0, ...fields }));

const processFields = objectOf<Omit<Process, "user"> & { readonly user?: User }>({
  terminal: optional(flag),
  consoleSize: optional(objectOf({ height: uint32, width: uint32 })),
  user: optional(user),
  args: optional(texts),
  env: optional(texts),
  cwd: text,
  capabilities: optional(
    objectOf<LinuxCapabilities>({
      bounding: optional(texts),
      effective: optional(texts),
      inheritable: optional(texts),
      permitted: optional(texts),
      ambient: optional(texts),
    }),
  ),
  rlimits: optional(
    listOf(
      objectOf({ type: matching(/^RLIMIT_[A-Z]+$/, "a name RLIMIT_…"), soft: uint64, hard: uint64 }),
      "resource limits",
    ),
  ),
  noNewPrivileges: optional(flag),
  apparmorProfile: optional(text),
  oomScoreAdj: optional(integer(-1000, 1000)),
  selinuxLabel: optional(text),
  scheduler: optional(
    objectOf<Scheduler>({
      policy: oneOf(
        "SCHED_OTHER",
        "SCHED_FIFO",
        "SCHED_RR",
        "SCHED_BATCH",
        "SCHED_ISO",
        "SCHED_IDLE",
        "SCHED_DEADLINE",
      ),
      nice: optional(int32),
      priority: optional(int32),
      flags: optional(
        listOf(
          oneOf(
            "SCHED_FLAG_RESET_ON_FORK",
            "SCHED_FLAG_RECLAIM",
            "SCHED_FLAG_DL_OVERRUN",
            "SCHED_FLAG_KEEP_POLICY",
            "SCHED_FLAG_KEEP_PARAMS",
            "SCHED_FLAG_UTIL_CLAMP_MIN",
            "SCHED_FLAG_UTIL_CLAMP_MAX",
          ),
          "scheduler flags",
        ),
      ),
      runtime: optional(uint64),
      deadline: optional(uint64),
      period: optional(uint64),
    }),
  ),
  ioPriority: optional(
    objectOf<LinuxIoPriority>({
      class: oneOf("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"),
      priority: optional(int32),
    }),
  ),
  execCPUAffinity: optional(
    objectOf<CpuAffinity>({
      initial: optional(matching(/^[0-9, -]*$/, "a list of CPUs")),
      final: optional(matching(/^[0-9, -]*$/, "a list of CPUs")),
    }),
  ),
});

export const process: Reader<Process> = finished(processFields, (fields) => ({
  ...fields,
  user: fields.user ?? { uid: 0, gid: 0 },
}));

const mount = objectOf<Mount>({
  destination: text,
  type: optional(text),
  source: optional(text),
  options: optional(texts),
  uidMappings: optional(idMappings),
  gidMappings: optional(idMappings),
});

const hooks = listOf(
  objectOf<Hook>({
    path: text,
    args: optional(texts),
    env: optional(texts),
    timeout: optional(integer(1, Number.MAX_SAFE_INTEGER)),
  }),
  "hooks",
);

const throttledDevices = listOf(
  objectOf<LinuxThrottleDevice>({ major: deviceNumber, minor: deviceNumber, rate: optional(uint64) }),
  "devices",
);

const blockIo: Fields<LinuxBlockIo> = {
  weight: optional(uint16),
  leafWeight: optional(uint16),
  weightDevice: optional(
    listOf(
      objectOf<LinuxWeightDevice>({
        major: deviceNumber,
        minor: deviceNumber,
        weight: optional(uint16),
        leafWeight: optional(uint16),
      }),
      "devices",
    ),
  ),
  throttleReadBpsDevice: optional(throttledDevices),
  throttleWriteBpsDevice: optional(throttledDevices),
  throttleReadIOPSDevice: optional(throttledDevices),
  throttleWriteIOPSDevice: optional(throttledDevices),
};

export const resources: Reader<LinuxResources> = objectOf<LinuxResources>({
  devices: optional(
    listOf(
      objectOf<LinuxDeviceCgroup>({
        allow: flag,
        type: optional(text),
        major: optional(deviceNumber),
        minor: optional(deviceNumber),
        access: optional(text),
      }),
      "device rules",
    ),
  ),
  memory: optional(
    objectOf<LinuxMemory>({
      limit: optional(int64),
      reservation: optional(int64),
      swap: optional(int64),
      kernel: optional(int64),
      kernelTCP: optional(int64),
      swappiness: optional(uint64),
      disableOOMKiller: optional(flag),
      useHierarchy: optional(flag),
      checkBeforeUpdate: optional(flag),
    }),
  ),
  cpu: optional(
    objectOf<LinuxCpu>({
      shares: optional(uint64),
      quota: optional(int64),
      burst: optional(uint64),
      period: optional(uint64),
      realtimeRuntime: optional(int64),
      realtimePeriod: optional(uint64),
      cpus: optional(text),
      mems: optional(text),
      idle: optional(int64),
    }),
  ),
  pids: optional(objectOf({ limit: int64 })),
  blockIO: optional(objectOf<LinuxBlockIo>(blockIo)),
  hugepageLimits: optional(
    listOf(
      objectOf({ pageSize: matching(/^[1-9][0-9]*[KMG]B$/, "a size such as 2MB"), limit: uint64 }),
      "huge page limits",
    ),
  ),
  network: optional(
    objectOf<LinuxNetwork>({
      classID: optional(uint32),
      priorities: optional(listOf(objectOf({ name: text, priority: uint32 }), "interface priorities")),
    }),
  ),
  rdma: optional(mapOf(objectOf<LinuxRdma>({ hcaHandles: optional(uint32), hcaObjects: optional(uint32) }))),
  unified: optional(textMap),
});

const seccompAction = oneOf(
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
);

const seccomp = objectOf<LinuxSeccomp>({
  defaultAction: seccompAction,
  defaultErrnoRet: optional(uint32),
  architectures: optional(listOf(matching(/^SCMP_ARCH_[A-Z0-9_]+$/, "a name SCMP_ARCH_…"), "architectures")),
  flags: optional(listOf(matching(/^SECCOMP_FILTER_FLAG_[A-Z_]+$/, "a name SECCOMP_FILTER_FLAG_…"), "flags")),
  listenerPath: optional(text),
  listenerMetadata: optional(text),
  syscalls: optional(
    listOf(
      objectOf<LinuxSyscall>({
        names: listOf(text, "system call names", 1),
        action: seccompAction,
        errnoRet: optional(uint32),
        args: optional(
          listOf(
            objectOf<LinuxSeccompArg>({
              index: integer(0, 5),
              value: uint64,
              valueTwo: optional(uint64),
              op: oneOf(
                "SCMP_CMP_NE",
                "SCMP_CMP_LT",
                "SCMP_CMP_LE",
                "SCMP_CMP_EQ",
                "SCMP_CMP_GE",
                "SCMP_CMP_GT",
                "SCMP_CMP_MASKED_EQ",
              ),
            }),
            "argument conditions",
          ),
        ),
      }),
      "rules",
    ),
  ),
});

const timeOffset = objectOf<LinuxTimeOffset>({ secs: optional(int64), nanosecs: optional(uint32) });

const linux = objectOf<Linux>({
  uidMappings: optional(idMappings),
  gidMappings: optional(idMappings),
  sysctl: optional(textMap),
  resources: optional(resources),
  cgroupsPath: optional(text),
  namespaces: optional(
    listOf(
      objectOf<Namespace>({
        type: oneOf("mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time"),
        path: optional(text),
      }),
      "namespaces",
    ),
  ),
  devices: optional(
    listOf(
      objectOf<LinuxDevice>({
        type: oneOf("b", "c", "u", "p"),
        path: text,
        major: optional(deviceNumber),
        minor: optional(deviceNumber),
        // Only nine bits by the schema, but writers pass the mode on as stat(2) gave it, type and all.
        fileMode: optional(uint32),
        uid: optional(uint32),
        gid: optional(uint32),
      }),
      "devices",
    ),
  ),
  netDevices: optional(mapOf(objectOf<LinuxNetDevice>({ name: optional(text) }))),
  seccomp: optional(seccomp),
  rootfsPropagation: optional(
    matching(
      /^(r?(shared|slave|private|unbindable))?$/,
      "shared, slave, private, unbindable or one with a leading r",
    ),
  ),
  maskedPaths: optional(texts),
  readonlyPaths: optional(texts),
  mountLabel: optional(text),
  intelRdt: optional(
    objectOf<LinuxIntelRdt>({
      closID: optional(text),
      schemata: optional(texts),
      l3CacheSchema: optional(text),
      memBwSchema: optional(matching(/^MB:[^\n]*$/, "a line MB:…")),
      enableMonitoring: optional(flag),
    }),
  ),
  memoryPolicy: optional(
    objectOf<LinuxMemoryPolicy>({
      mode: optional(
        oneOf(
          "MPOL_DEFAULT",
          "MPOL_BIND",
          "MPOL_INTERLEAVE",
          "MPOL_WEIGHTED_INTERLEAVE",
          "MPOL_PREFERRED",
          "MPOL_PREFERRED_MANY",
          "MPOL_LOCAL",
        ),
      ),
      nodes: optional(text),
      flags: optional(
        listOf(
          oneOf("MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"),
          "policy flags",
        ),
      ),
    }),
  ),
  personality: optional(
    objectOf<LinuxPersonality>({ domain: optional(oneOf("LINUX", "LINUX32")), flags: optional(texts) }),
  ),
  timeOffsets: optional(
    objectOf<LinuxTimeOffsets>({ monotonic: optional(timeOffset), boottime: optional(timeOffset) }),
  ),
});

export const spec: Reader<Spec> = objectOf<Spec>({
  ociVersion: text,
  root: optional(objectOf<Root>({ path: text, readonly: optional(flag) })),
  process: optional(process),
  mounts: optional(listOf(mount, "mounts")),
  hostname: optional(text),
  domainname: optional(text),
  hooks: optional(
    objectOf<Hooks>({
      prestart: optional(hooks),
      createRuntime: optional(hooks),
      createContainer: optional(hooks),
      startContainer: optional(hooks),
      poststart: optional(hooks),
      poststop: optional(hooks),
    }),
  ),
  annotations: optional(textMap),
  linux: optional(linux),
});

/** A container from the JSON value of its `config.json`. @throws KataError `invalid-argument` with the field's place. */
export function parseSpec(json: unknown): Spec {
  return readDocument(spec, json);
}

/** A process to run in a container, as containerd hands it to `exec`. @throws KataError `invalid-argument`. */
export function parseProcess(json: unknown): Process {
  return readDocument(process, json);
}

/** Limits to change, as containerd hands them to `update`. @throws KataError `invalid-argument`. */
export function parseLinuxResources(json: unknown): LinuxResources {
  return readDocument(resources, json);
}

/** A string, or an integer of more digits than a number is sure to hold. Strings are matched to be stepped over. */
const STRING_OR_BIG_INTEGER = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g;

/**
 * The JSON value of `source`, for the functions above. 64-bit integers keep all their digits, which `JSON.parse` alone
 * would round: `RLIM_INFINITY`, a seccomp mask.
 *
 * @param object what the text is, for the message: a path.
 * @throws KataError `invalid-argument` if it is too long or no JSON.
 */
export function parseSpecJson(source: string, object: string): unknown {
  if (source.length > MAX_SPEC_LENGTH) {
    const hint = `it has ${source.length} characters, at most ${MAX_SPEC_LENGTH} are read`;
    throw new KataError("invalid-argument", { operation: "read spec", object, hint });
  }
  const exact = /\d{16}/.test(source)
    ? source.replace(STRING_OR_BIG_INTEGER, (found) =>
        found.startsWith('"') ? found : JSON.stringify(BIG_INTEGER_MARK + found),
      )
    : source;
  try {
    return JSON.parse(exact);
  } catch (cause) {
    throw new KataError("invalid-argument", {
      operation: "read spec",
      object,
      hint: describeError(cause),
      cause,
    });
  }
}

/** A string that stands for an integer, as {@link stringifySpec} makes it on the way. */
const MARKED_INTEGER = /"\\u0000integer (-?\d+)"/g;

/** JSON of a spec, or of a part of it, with all digits of its 64-bit integers. */
export function stringifySpec(value: unknown): string {
  const json = JSON.stringify(value, (_, item: unknown) =>
    typeof item === "bigint" ? BIG_INTEGER_MARK + item : item,
  );
  return json.replace(MARKED_INTEGER, "$1");
}
