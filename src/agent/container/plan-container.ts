/** From a container's spec to what its first process has to do. */
import { KataError } from "../../kata-error.ts";
import { checkHooks, hasHooks } from "../../oci/hooks.ts";
import { NAMESPACES } from "../../oci/namespaces.ts";
import type { Linux, LinuxDevice, Namespace, Spec } from "../../oci/types.ts";
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
} from "../../sys/process.ts";
import type { JoinedNamespace } from "../sandbox/shared-namespaces.ts";
import { bundleDirectory } from "./bundle.ts";
import type { VisibleCgroup } from "./cgroup-mount.ts";
import type { DeviceNode } from "./device-nodes.ts";
import { type IdMaps, idMapText } from "./id-map-namespace.ts";
import type { InitPlan } from "./init-process.ts";
import { cleanPath } from "./mount-target.ts";
import { planMounts, planPropagation } from "./plan-mounts.ts";
import { planProcess } from "./plan-process.ts";
import { planSysctls } from "./sysctl.ts";

/** Namespaces of the pod that a container may be in. */
export interface SharedNamespaceFds {
  readonly ipc: number | undefined;
  readonly uts: number | undefined;
  /** Only if this container is to share it. */
  readonly pid: number | undefined;
}

export interface ContainerPlan {
  readonly init: InitPlan;
  /** Namespaces that are made by the clone. */
  readonly cloneFlags: number;
  /** Namespaces that exist already. */
  readonly joined: readonly JoinedNamespace[];
  /** Namespaces that an exec joins besides the pid namespace. */
  readonly execNamespaces: number;
  readonly ownPidNamespace: boolean;
  /** The maps of its user namespace; undefined without one. */
  readonly maps: IdMaps | undefined;
}

/** Most mounts, devices or paths of one kind in a spec. */
const MAX_ENTRIES = 10_000;

/** @throws KataError `invalid-argument` or `unimplemented` for a spec that cannot be kept. */
export function planContainer(
  id: string,
  spec: Spec,
  shared: SharedNamespaceFds,
  cgroup: VisibleCgroup,
): ContainerPlan {
  const linux = spec.linux;
  if (spec.process === undefined) throw invalid("process", "it has none");
  if (spec.root === undefined || !spec.root.path.startsWith("/"))
    throw invalid("root", "it has no absolute path");
  for (const list of [spec.mounts, linux?.devices, linux?.maskedPaths, linux?.readonlyPaths]) {
    if ((list?.length ?? 0) > MAX_ENTRIES)
      throw invalid("spec", `a list has more than ${MAX_ENTRIES} entries`);
  }
  checkHooks(spec.hooks);
  refuseUnsupported(spec);
  const asked = planNamespaces(linux?.namespaces ?? [], shared);
  // In the unified hierarchy programs look for their limits below the path in /proc/self/cgroup: it has to be the root of what
  // they see at /sys/fs/cgroup, whatever the host has left in the spec.
  const namespaces = { ...asked, made: asked.made | (cgroup.version === 2 ? CLONE_NEWCGROUP : 0) };
  if ((namespaces.made & CLONE_NEWNS) === 0)
    throw invalid("namespaces", "a container has a mount namespace of its own");
  const own = (flag: number) => (namespaces.made & flag) !== 0;
  const process = planProcess(spec.process, spec, id);
  return {
    init: {
      process,
      rootfs: {
        path: spec.root.path,
        readonly: spec.root.readonly ?? false,
        propagation: planPropagation(linux?.rootfsPropagation),
        mounts: planMounts(spec),
        devices: (linux?.devices ?? []).map(planDevice),
        bindDevices: own(CLONE_NEWUSER),
        maskedPaths: absolute("masked", linux?.maskedPaths),
        readonlyPaths: absolute("read-only", linux?.readonlyPaths),
        workingDirectory: spec.process.cwd,
        cgroup,
      },
      // The pod's host name is set once, in the namespace that its containers share.
      hostname: own(CLONE_NEWUTS) && spec.hostname ? spec.hostname : undefined,
      domainname: own(CLONE_NEWUTS) && spec.domainname ? spec.domainname : undefined,
      sysctls: planSysctls(linux?.sysctl ?? {}, {
        ipc: own(CLONE_NEWIPC) || shared.ipc !== undefined,
        uts: own(CLONE_NEWUTS) || shared.uts !== undefined,
        user: own(CLONE_NEWUSER),
      }),
      ownCgroupNamespace: own(CLONE_NEWCGROUP),
      ownUserNamespace: own(CLONE_NEWUSER),
      hooks: hasHooks(spec) ? { id, spec, bundle: bundleDirectory(id) } : undefined,
    },
    cloneFlags: namespaces.made & ~CLONE_NEWCGROUP,
    joined: namespaces.joined,
    execNamespaces:
      (namespaces.made & ~CLONE_NEWPID) |
      (namespaces.joined.reduce((flags, { type }) => flags | type, 0) & ~CLONE_NEWPID),
    ownPidNamespace: own(CLONE_NEWPID),
    maps: own(CLONE_NEWUSER) ? planMaps(linux) : undefined,
  };
}

function planNamespaces(
  namespaces: readonly Namespace[],
  shared: SharedNamespaceFds,
): { readonly made: number; readonly joined: readonly JoinedNamespace[] } {
  let made = 0;
  const seen = new Set<string>();
  const joined: JoinedNamespace[] = [];
  for (const { type, path } of namespaces) {
    const { flag } = NAMESPACES[type];
    if (seen.has(type)) throw invalid(`namespace ${type}`, "it is given twice");
    seen.add(type);
    if (type === "time") throw unimplemented("time namespaces");
    // The host clears the paths: its namespaces are not in this machine.
    if (path !== undefined && path !== "") throw unimplemented(`joining a ${type} namespace by its path`);
    const fd = type === "ipc" || type === "uts" || type === "pid" ? shared[type] : undefined;
    if (fd === undefined) made |= flag;
  }
  // Hosts leave it out: a container always has one, its own or the pod's.
  if (shared.pid === undefined) made |= NAMESPACES.pid.flag;
  for (const name of ["ipc", "uts", "pid"] as const) {
    const fd = shared[name];
    if (fd !== undefined) joined.push({ fd, type: NAMESPACES[name].flag, name });
  }
  return { made, joined };
}

const DEVICE_TYPES: Readonly<Record<LinuxDevice["type"], DeviceNode["type"]>> = {
  c: "character",
  u: "character",
  b: "block",
  p: "fifo",
};

function planDevice(device: LinuxDevice): DeviceNode {
  if (!device.path.startsWith("/")) throw invalid(`device ${device.path}`, "its path is absolute");
  return {
    path: cleanPath(device.path),
    type: DEVICE_TYPES[device.type],
    major: device.major ?? 0,
    minor: device.minor ?? 0,
    mode: (device.fileMode ?? 0o666) & 0o7777,
    uid: device.uid ?? 0,
    gid: device.gid ?? 0,
  };
}

function absolute(kind: string, paths: readonly string[] | undefined): readonly string[] {
  for (const path of paths ?? []) {
    if (!path.startsWith("/")) throw invalid(`${kind} path ${JSON.stringify(path)}`, "it is absolute");
  }
  return paths ?? [];
}

function planMaps(linux: Linux | undefined): IdMaps {
  const maps = {
    uid: idMapText("uidMappings", linux?.uidMappings),
    gid: idMapText("gidMappings", linux?.gidMappings),
  };
  if (maps.uid !== "" && maps.gid !== "") return maps;
  throw invalid("namespaces", "a user namespace needs uidMappings and gidMappings");
}

/** What a host does not send, as it has no meaning in its virtual machine; nothing of it is passed over in silence. */
function refuseUnsupported({ linux }: Spec): void {
  if (Object.keys(linux?.netDevices ?? {}).length > 0) throw unimplemented("netDevices");
  if (linux?.memoryPolicy !== undefined) throw unimplemented("memoryPolicy");
  if (linux?.timeOffsets !== undefined) throw unimplemented("timeOffsets");
  if (linux?.intelRdt !== undefined) throw unimplemented("intelRdt: the guest has no resctrl");
}

function invalid(object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: "read spec", object, hint });
}

function unimplemented(what: string): KataError {
  return new KataError("unimplemented", { operation: "create container", object: what });
}
