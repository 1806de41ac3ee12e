/** Where a sandbox's programs and the machine's CPUs are among the host's cgroups, and which of its devices they may open. */
import { describeError } from "../../kata-error.ts";
import { cgroupDirectory, parseCgroupsPath } from "../../oci/cgroups-path.ts";
import type { Spec } from "../../oci/types.ts";
import { loop } from "../../sys/event-loop.ts";
import { exists } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";
import { getpid } from "../../sys/process.ts";
import type { Rollback } from "../../sys/rollback.ts";
import type { CrashRecorder } from "../crash-recorder.ts";
import type { Logger } from "../types.ts";
import { DeviceAllowList } from "./device-allow-list.ts";
import {
  cgroupMounts,
  createHostCgroup,
  hostCgroupDirectories,
  hostCgroupPath,
  podGroupPath,
  removeHostCgroup,
} from "./host-cgroup.ts";
import { podLimits, resourceLimits } from "./sizing.ts";
import { scopeOf } from "./systemd-scope.ts";
import { planVcpuGroup, VcpuGroup } from "./vcpu-group.ts";

export interface HostPlacement {
  /** Directories of cgroups that helper programs enter; none where they inherit the shim's. */
  readonly cgroups: readonly string[];
  readonly vcpuGroup: VcpuGroup;
  /** Undefined where the programs may open what they like. */
  readonly devices: DeviceAllowList | undefined;
}

export interface PlacementRequest {
  readonly id: string;
  readonly spec: Spec;
  readonly sandboxCgroupOnly: boolean;
  readonly logger: Logger;
}

/** There while systemd is the host's process 1. Source: sd_booted(3). */
const SYSTEMD_RUNS = "/run/systemd/system";

/** Makes the groups; what cannot be made is a warning. What is made is undone by `undo`, and `record` knows it before. */
export async function placeOnHost(
  request: PlacementRequest,
  record: CrashRecorder,
  undo: Rollback,
): Promise<HostPlacement> {
  const { id, spec, sandboxCgroupOnly, logger } = request;
  const mounts = cgroupMounts();
  const scoped = sandboxCgroupOnly ? await joinScope(spec.linux?.cgroupsPath, logger) : undefined;
  const helperPath = scoped ?? hostCgroupPath(id, spec.linux?.cgroupsPath, sandboxCgroupOnly);
  const devicesMount = mounts.get("unified") ?? mounts.get("devices");
  // systemd's scopes are its own to restrict.
  const restricted =
    sandboxCgroupOnly && scoped === undefined && devicesMount !== undefined
      ? `${devicesMount}${helperPath}`
      : undefined;
  const directories =
    scoped === undefined
      ? [
          ...new Set([
            ...hostCgroupDirectories(helperPath),
            ...(restricted === undefined ? [] : [restricted]),
          ]),
        ]
      : [];
  const vcpuGroup = new VcpuGroup(
    planVcpuGroup({
      mounts,
      sandboxCgroupOnly,
      podPath: scoped ?? podGroupPath(id, spec.linux?.cgroupsPath),
      helperPath,
      limits: podLimits(spec) ?? resourceLimits(spec.linux?.resources),
    }),
    logger,
  );
  // Before there is anything to clean up.
  record.update({ cgroups: [...vcpuGroup.directories, ...directories] });
  const cgroups = createHostCgroup(directories, logger);
  undo.add("cgroup", () => removeHostCgroup(cgroups, loop));
  const devices =
    restricted !== undefined && cgroups.includes(restricted)
      ? new DeviceAllowList(restricted, logger)
      : undefined;
  devices?.apply();
  undo.add("list of devices", () => devices?.close());
  vcpuGroup.create();
  undo.add("group of the machine's CPUs", () => vcpuGroup.remove(loop));
  return { cgroups, vcpuGroup, devices };
}

/** Joins the scope that the path names. @returns its path below the hierarchies; undefined for a path of another kind. */
async function joinScope(cgroupsPath: string | undefined, logger: Logger): Promise<string | undefined> {
  const place = parseCgroupsPath(cgroupsPath);
  const scope = scopeOf(place, getpid());
  if (scope === undefined || !exists(SYSTEMD_RUNS)) return undefined;
  try {
    const { startScope } = await import("./start-scope.ts");
    await startScope(scope, kernel().syscall("geteuid"), loop);
    return cgroupDirectory(place, "");
  } catch (error) {
    logger.warn("the sandbox is in no scope of systemd's", {
      scope: scope.unit,
      error: describeError(error),
    });
    return undefined;
  }
}
