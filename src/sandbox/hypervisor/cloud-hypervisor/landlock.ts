/**
 * Which files of the host Cloud Hypervisor may use, once it has confined itself by Landlock.
 *
 * It does so when it is told of the machine, and knows by itself of the files that the machine has then; disks come later.
 * Source: Cloud Hypervisor documentation, docs/landlock.md.
 */
import { mkdirAll } from "../../../sys/files.ts";
import { sandboxPaths } from "../../sandbox-paths.ts";
import type { MachineSpec } from "../types.ts";

export interface LandlockRule {
  readonly path: string;
  readonly access: "r" | "rw";
}

export interface LandlockConfig {
  readonly landlock_enable?: true;
  readonly landlock_rules?: readonly LandlockRule[];
}

/** Makes the directory of disks, which a rule names: Landlock knows no path that is not there. It goes with the sandbox. */
export function prepareLandlock({ id, options, user }: MachineSpec): void {
  if (options?.landlock !== undefined && user === undefined) mkdirAll(sandboxPaths(id).disks, 0o700);
}

/** Nothing, where it is not asked for; a machine that is to be saved is not confined, as its clones would be to the same files. */
export function landlockConfig(
  { id, runDirectory, options, devices, user }: MachineSpec,
  isTemplate: boolean,
): LandlockConfig {
  const paths = options?.landlock;
  if (paths === undefined || isTemplate) return {};
  const passesDevices =
    options?.cardPort !== undefined ||
    devices.some((device) => device.kind === "network" && device.backend.kind === "vfio");
  return {
    landlock_enable: true,
    landlock_rules: [
      // Block devices for containers, and those that are passed through.
      { path: "/dev", access: "rw" },
      ...(passesDevices ? [{ path: "/sys", access: "r" } as const] : []),
      // Sockets, and disks that are made for containers.
      { path: runDirectory, access: "rw" },
      // A user of its own finds them in its directory, and may not even look for this one.
      ...(user === undefined ? [{ path: sandboxPaths(id).disks, access: "rw" } as const] : []),
      ...paths.map((path) => ({ path, access: "rw" }) as const),
    ],
  };
}
