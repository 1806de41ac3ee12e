/** What an attacker's image and specification look like. */
import { rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Spec } from "../../../src/oci/types.ts";
import type { Rootfs } from "./busybox-rootfs.ts";

/** `spec` without its mounts at `destinations` and below. */
export function withoutMounts(spec: Spec, ...destinations: string[]): Spec {
  const covered = (path: string) => destinations.some((one) => path === one || path.startsWith(`${one}/`));
  return { ...spec, mounts: (spec.mounts ?? []).filter(({ destination }) => !covered(destination)) };
}

/** Puts a link to `target` at `path` of the image, in place of what is there. */
export function linkInImage(rootfs: Rootfs, path: string, target: string): void {
  rmSync(join(rootfs.path, path), { recursive: true, force: true });
  symlinkSync(target, join(rootfs.path, path));
}
