/**
 * A spec as the agent protocol carries it, and back.
 *
 * The message has other names than `config.json`, no absent scalars, and not all fields. One table says all of that for both
 * ways. What comes out of a message is read like any foreign spec.
 *
 * Zero means absent, but for ids, device numbers, the limit of processes and the OOM killer's switch. Fields that upstream's
 * protocol lacks have numbers from 1000 on, which its agent passes over: umask, scheduler, ioPriority, domainname, id maps of
 * mounts, personality, unified, CPU burst and idle, checkBeforeUpdate, defaultErrnoRet of seccomp. Not carried at all, as they
 * have no meaning in a virtual machine: execCPUAffinity, netDevices, memoryPolicy, timeOffsets, rdma, useHierarchy, the
 * listener of seccomp, all but the L3 schema of intelRdt.
 * Source: the agent's oci.proto.
 */
import * as json from "./parse-spec.ts";
import type * as oci from "./types.ts";
import { type Form, type Table, type WireMessage, wireReader } from "./wire-reader.ts";

const OPTIONAL: Form = { kind: "optional" };
const PRESENCE: Form = { kind: "presence" };
const WILDCARD: Form = { kind: "wildcard" };
const TEXT: Form = { kind: "value", zero: "" };
const NUMBER: Form = { kind: "value", zero: 0 };
const FLAG: Form = { kind: "value", zero: false };
const TEXTS: Form = { kind: "value", zero: [] };

/** The fields of `T` that the message has, each with its name there: the one of `config.json` behind a capital if it is not said. */
function table<T>(
  fields: { readonly [K in keyof T]?: Form | readonly [message: string, form: Form] },
): Table {
  return (Object.entries(fields) as [string, Form | readonly [string, Form]][]).map(([json, field]) =>
    "kind" in field
      ? [json, json.charAt(0).toUpperCase() + json.slice(1), field]
      : [json, field[0], field[1]],
  );
}

const message = (of: Table): Form => ({ kind: "message", table: of });
const messages = (of: Table): Form => ({ kind: "messages", table: of });

const user = table<oci.User>({
  uid: ["UID", NUMBER],
  gid: ["GID", NUMBER],
  additionalGids: OPTIONAL,
  username: OPTIONAL,
  umask: PRESENCE,
});

const process = table<oci.Process>({
  terminal: OPTIONAL,
  consoleSize: message(table<oci.ConsoleSize>({ height: NUMBER, width: NUMBER })),
  user: message(user),
  args: OPTIONAL,
  env: OPTIONAL,
  cwd: TEXT,
  capabilities: message(
    table<oci.LinuxCapabilities>({
      bounding: OPTIONAL,
      effective: OPTIONAL,
      inheritable: OPTIONAL,
      permitted: OPTIONAL,
      ambient: OPTIONAL,
    }),
  ),
  rlimits: messages(table<oci.PosixRlimit>({ type: TEXT, soft: NUMBER, hard: NUMBER })),
  noNewPrivileges: OPTIONAL,
  apparmorProfile: OPTIONAL,
  oomScoreAdj: ["OOMScoreAdj", OPTIONAL],
  selinuxLabel: OPTIONAL,
  scheduler: message(
    table<oci.Scheduler>({
      policy: TEXT,
      nice: OPTIONAL,
      priority: OPTIONAL,
      flags: OPTIONAL,
      runtime: OPTIONAL,
      deadline: OPTIONAL,
      period: OPTIONAL,
    }),
  ),
  ioPriority: ["IOPriority", message(table<oci.LinuxIoPriority>({ class: TEXT, priority: OPTIONAL }))],
});

const idMapping = messages(table<oci.LinuxIdMapping>({ hostID: NUMBER, containerID: NUMBER, size: NUMBER }));

const mount = table<oci.Mount>({
  destination: ["destination", TEXT],
  source: ["source", OPTIONAL],
  type: ["type", OPTIONAL],
  options: ["options", OPTIONAL],
  uidMappings: ["UIDMappings", idMapping],
  gidMappings: ["GIDMappings", idMapping],
});

const hook = messages(table<oci.Hook>({ path: TEXT, args: OPTIONAL, env: OPTIONAL, timeout: OPTIONAL }));

const throttle = messages(table<oci.LinuxThrottleDevice>({ major: NUMBER, minor: NUMBER, rate: OPTIONAL }));

const resources = table<oci.LinuxResources>({
  devices: messages(
    table<oci.LinuxDeviceCgroup>({
      allow: FLAG,
      type: OPTIONAL,
      major: WILDCARD,
      minor: WILDCARD,
      access: OPTIONAL,
    }),
  ),
  memory: message(
    table<oci.LinuxMemory>({
      limit: OPTIONAL,
      reservation: OPTIONAL,
      swap: OPTIONAL,
      kernel: OPTIONAL,
      kernelTCP: OPTIONAL,
      swappiness: OPTIONAL,
      disableOOMKiller: FLAG,
      checkBeforeUpdate: OPTIONAL,
    }),
  ),
  cpu: [
    "CPU",
    message(
      table<oci.LinuxCpu>({
        shares: OPTIONAL,
        quota: OPTIONAL,
        period: OPTIONAL,
        realtimeRuntime: OPTIONAL,
        realtimePeriod: OPTIONAL,
        cpus: OPTIONAL,
        mems: OPTIONAL,
        burst: PRESENCE,
        idle: PRESENCE,
      }),
    ),
  ],
  pids: message(table<oci.LinuxPids>({ limit: NUMBER })),
  blockIO: message(
    table<oci.LinuxBlockIo>({
      weight: OPTIONAL,
      leafWeight: OPTIONAL,
      weightDevice: messages(
        table<oci.LinuxWeightDevice>({
          major: NUMBER,
          minor: NUMBER,
          weight: OPTIONAL,
          leafWeight: OPTIONAL,
        }),
      ),
      throttleReadBpsDevice: throttle,
      throttleWriteBpsDevice: throttle,
      throttleReadIOPSDevice: throttle,
      throttleWriteIOPSDevice: throttle,
    }),
  ),
  hugepageLimits: messages(table<oci.LinuxHugepageLimit>({ pageSize: ["Pagesize", TEXT], limit: NUMBER })),
  network: message(
    table<oci.LinuxNetwork>({
      classID: OPTIONAL,
      priorities: messages(table<oci.LinuxInterfacePriority>({ name: TEXT, priority: NUMBER })),
    }),
  ),
  unified: OPTIONAL,
});

const seccomp = table<oci.LinuxSeccomp>({
  defaultAction: TEXT,
  defaultErrnoRet: PRESENCE,
  architectures: OPTIONAL,
  flags: OPTIONAL,
  syscalls: messages(
    table<oci.LinuxSyscall>({
      names: TEXTS,
      action: TEXT,
      errnoRet: ["errnoret", PRESENCE],
      args: messages(
        table<oci.LinuxSeccompArg>({ index: NUMBER, value: NUMBER, valueTwo: OPTIONAL, op: TEXT }),
      ),
    }),
  ),
});

const linux = table<oci.Linux>({
  uidMappings: ["UIDMappings", idMapping],
  gidMappings: ["GIDMappings", idMapping],
  sysctl: OPTIONAL,
  resources: message(resources),
  cgroupsPath: OPTIONAL,
  namespaces: messages(table<oci.Namespace>({ type: TEXT, path: OPTIONAL })),
  devices: messages(
    table<oci.LinuxDevice>({
      path: TEXT,
      type: TEXT,
      major: NUMBER,
      minor: NUMBER,
      fileMode: OPTIONAL,
      uid: ["UID", NUMBER],
      gid: ["GID", NUMBER],
    }),
  ),
  seccomp: message(seccomp),
  rootfsPropagation: OPTIONAL,
  maskedPaths: OPTIONAL,
  readonlyPaths: OPTIONAL,
  mountLabel: OPTIONAL,
  intelRdt: message(table<oci.LinuxIntelRdt>({ l3CacheSchema: OPTIONAL })),
  personality: message(table<oci.LinuxPersonality>({ domain: OPTIONAL, flags: OPTIONAL })),
});

const spec = table<oci.Spec>({
  ociVersion: ["Version", TEXT],
  process: message(process),
  root: message(table<oci.Root>({ path: TEXT, readonly: OPTIONAL })),
  hostname: OPTIONAL,
  domainname: OPTIONAL,
  mounts: messages(mount),
  hooks: message(
    table<oci.Hooks>({
      prestart: hook,
      poststart: hook,
      poststop: hook,
      createRuntime: hook,
      createContainer: hook,
      startContainer: hook,
    }),
  ),
  annotations: OPTIONAL,
  linux: message(linux),
});

function toMessage(fields: Table, value: object): WireMessage {
  const from = value as Readonly<Record<string, unknown>>;
  const into: Record<string, unknown> = {};
  for (const [json, name, form] of fields) {
    const item = from[json];
    if (item === undefined) continue;
    if (form.kind === "message") into[name] = toMessage(form.table, item as object);
    else if (form.kind === "messages")
      into[name] = (item as object[]).map((one) => toMessage(form.table, one));
    else into[name] = item;
  }
  return into;
}

/** The protocol's message for `spec`. */
export function specToMessage(value: oci.Spec): WireMessage {
  return toMessage(spec, value);
}

/** The protocol's message for a process that is to join a container. */
export function processToMessage(value: oci.Process): WireMessage {
  return toMessage(process, value);
}

/** The protocol's message for limits to change. */
export function resourcesToMessage(value: oci.LinuxResources): WireMessage {
  return toMessage(resources, value);
}

/** The spec in a message. @throws KataError `invalid-argument` with the field's place by the names of `config.json`. */
export const specFromMessage: (value: object) => oci.Spec = wireReader(spec, json.spec);

/** The process in a message. @throws KataError `invalid-argument`. */
export const processFromMessage: (value: object) => oci.Process = wireReader(process, json.process);

/** The limits in a message. @throws KataError `invalid-argument`. */
export const resourcesFromMessage: (value: object) => oci.LinuxResources = wireReader(
  resources,
  json.resources,
);
