/**
 * Kernel modules behind devices that a container is given. On other machines the kernel asks a program of user space for them when such
 * a node is opened; the guest has none.
 * Source: Linux Documentation/admin-guide/devices.txt.
 */
import type { Spec } from "../../oci/types.ts";

const MODULES: readonly {
  readonly major: number;
  readonly minor: number;
  readonly path: string;
  readonly module: string;
}[] = [
  { major: 10, minor: 200, path: "/dev/net/tun", module: "tun" },
  { major: 10, minor: 229, path: "/dev/fuse", module: "fuse" },
  { major: 10, minor: 237, path: "/dev/loop-control", module: "loop" },
];

/** The modules that the devices of `spec` need, by their numbers or as sources of bind mounts. */
export function deviceModules({ linux, mounts = [] }: Spec): string[] {
  const devices = linux?.devices ?? [];
  return MODULES.filter(
    ({ major, minor, path }) =>
      devices.some((device) => device.type !== "b" && device.major === major && device.minor === minor) ||
      mounts.some(({ source }) => source === path),
  ).map(({ module }) => module);
}
