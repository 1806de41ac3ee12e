/**
 * A root filesystem that is a disk: on a block device (devmapper) or in a file (blockfile). It goes into the guest as what it is,
 * and the guest mounts it: nothing of the host's reads what a container has written there.
 * Sources: containerd, docs/snapshotters (devmapper.md, blockfile.md); upstream Kata Containers, "block-based root filesystem".
 */
import { parseMountOptions } from "../../oci/mount-options.ts";
import type { RootfsMount } from "../types.ts";
import type { SourceType } from "./plan-mounts.ts";

export interface BlockRootfs {
  /** A block device or file of the host. */
  readonly path: string;
  readonly filesystem: string;
  readonly readOnly: boolean;
  /** For the guest's mount. */
  readonly options: readonly string[];
  /** JSON of the hashes that the guest checks the disk by. */
  readonly verity?: string;
  /** A file that was made for this alone: it has no name any more as soon as the machine has opened it. */
  readonly made?: { readonly rootMode: number };
}

/** What the guest's kernel mounts. */
const GUEST_FILESYSTEMS: ReadonlySet<string> = new Set(["ext2", "ext3", "ext4", "erofs"]);

/**
 * What `rootfs` is as a disk; undefined if it is none, and has to be mounted here and shared.
 *
 * The mount itself tells, not the snapshotter's name: one file system whose source is a block device, or a file with the option `loop`.
 */
export function blockRootfs(
  rootfs: readonly RootfsMount[],
  typeOf: (path: string) => SourceType | undefined,
): BlockRootfs | undefined {
  const [mount, ...others] = rootfs;
  if (mount === undefined || others.length > 0 || mount.target !== "") return undefined;
  if (!GUEST_FILESYSTEMS.has(mount.type) || !mount.source.startsWith("/")) return undefined;
  const type = typeOf(mount.source);
  if (type !== "block-device" && type !== "file") return undefined;
  const { attributes } = parseMountOptions(mount.options);
  return {
    path: mount.source,
    filesystem: mount.type,
    readOnly: mount.type === "erofs" || (attributes.set & 1) !== 0,
    options: mount.options.filter((option) => !isForLoopDevice(option)),
  };
}

/** Options of mount(8), which makes the loop device that the kernel's own mount does not know of. */
export function isForLoopDevice(option: string): boolean {
  return option === "loop" || /^(loop|offset|sizelimit)=/.test(option);
}
