/**
 * Letting the file system of a volume grow after the host has made its disk larger; while it is in use, by the kernel itself.
 * Sources: Linux fs/ext4/ext4.h (EXT4_IOC_RESIZE_FS), fs/xfs/libxfs/xfs_fs.h (XFS_IOC_FSGROWFSDATA),
 * include/uapi/linux/btrfs.h (BTRFS_IOC_RESIZE); upstream's agent answers this call with "unimplemented".
 */
import { KataError } from "../../kata-error.ts";
import {
  AT_FDCWD,
  exists,
  O_DIRECTORY,
  O_RDONLY,
  open,
  readTextFileIfExists,
  statfs,
  writeExisting,
} from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { type MountInfo, readMountInfo } from "../../sys/mountinfo.ts";
import { fsconfigReconfigure, fsconfigString, fspick } from "../../sys/new-mount-api.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { awaitDevice } from "../device/await-device.ts";

/** _IOW('f', 16, u64): the number of blocks. */
const EXT4_IOC_RESIZE_FS = 0x4008_6610;
/** _IOR('X', 124, struct xfs_fsop_geom_v1), 112 bytes. */
const XFS_IOC_FSGEOMETRY_V1 = 0x8070_5864;
/** _IOW('X', 110, struct xfs_growfs_data): blocks u64, largest share of inodes u32. */
const XFS_IOC_FSGROWFSDATA = 0x4010_586e;
/** _IOW(0x94, 3, struct btrfs_ioctl_vol_args): fd i64, name of 4088 bytes. */
const BTRFS_IOC_RESIZE = 0x5000_9403;
const BTRFS_ARGS_BYTES = 4096;
/** Sizes in sysfs are in sectors of this many bytes. */
const SECTOR_BYTES = 512;

/**
 * Lets the file system at mount point `path` have `size` bytes; 0 for all of its disk.
 *
 * @throws KataError `not-found` if nothing is mounted there, `unsupported` for a file system that cannot grow in use or is the
 * host's, `out-of-range` to shrink it, `deadline-exceeded` if its disk does not grow to that.
 */
export async function resizeVolume(path: string, size: bigint, timeoutMs: number): Promise<void> {
  const mount = readMountInfo().findLast(({ mountPoint }) => mountPoint === path);
  if (mount === undefined) {
    throw new KataError("not-found", { operation: "resize volume", object: `nothing is mounted at ${path}` });
  }
  if (mount.type === "tmpfs") {
    using context = fspick(AT_FDCWD, path);
    fsconfigString(context, "size", String(size));
    fsconfigReconfigure(context);
    return;
  }
  const grow = GROWERS[mount.type];
  if (grow === undefined) {
    throw new KataError("unsupported", {
      operation: "resize volume",
      object: `${path} is ${mount.type}`,
      hint: "ext4, xfs, btrfs and tmpfs grow while they are in use; a shared file system is the host's",
    });
  }
  const disk = await diskOf(mount, size, timeoutMs);
  const wanted = size === 0n ? disk : size;
  const { blockSize, blocks } = statfs(path);
  // What a file system keeps for itself is not in its statistics, so only what is clearly less is refused.
  if (wanted < BigInt(blocks) * BigInt(blockSize)) {
    throw new KataError("out-of-range", {
      operation: "resize volume",
      object: `${path} to ${wanted} bytes`,
      hint: "a file system in use does not shrink",
    });
  }
  using root = open(path, O_RDONLY | O_DIRECTORY);
  grow(root.fd, wanted, blockSize);
}

/** The size of the disk below `mount`, when it is at least `size` bytes. */
async function diskOf({ major, minor }: MountInfo, size: bigint, timeoutMs: number): Promise<bigint> {
  const directory = `/sys/dev/block/${major}:${minor}`;
  // A SCSI disk's size is looked at when somebody asks; others tell by themselves.
  if (exists(`${directory}/device/rescan`)) writeExisting(`${directory}/device/rescan`, "1");
  return await awaitDevice(`disk ${major}:${minor} of ${size} bytes`, timeoutMs, () => {
    const sectors = readTextFileIfExists(`${directory}/size`);
    if (sectors === undefined) return undefined;
    const bytes = BigInt(sectors.trim()) * BigInt(SECTOR_BYTES);
    return bytes >= size ? bytes : undefined;
  });
}

type Grow = (root: number, bytes: bigint, blockBytes: number) => void;

const GROWERS: Readonly<Record<string, Grow>> = {
  ext4(root, bytes, blockBytes) {
    const blocks = new BigUint64Array([bytes / BigInt(blockBytes)]);
    check(kernel().syscall("ioctl", root, EXT4_IOC_RESIZE_FS, blocks), "resize", "ext4");
  },

  xfs(root, bytes) {
    const geometry = new DataView(new ArrayBuffer(112));
    check(kernel().syscall("ioctl", root, XFS_IOC_FSGEOMETRY_V1, geometry.buffer), "read geometry of", "xfs");
    // struct xfs_fsop_geom_v1: block size first; imaxpct is the eighth u32.
    const data = new DataView(new ArrayBuffer(16));
    data.setBigUint64(0, bytes / BigInt(geometry.getUint32(0, true)), true);
    data.setUint32(8, geometry.getUint32(28, true), true);
    check(kernel().syscall("ioctl", root, XFS_IOC_FSGROWFSDATA, data.buffer), "resize", "xfs");
  },

  btrfs(root, bytes) {
    const args = new Uint8Array(BTRFS_ARGS_BYTES);
    args.set(utf8Encode(String(bytes)), 8);
    check(kernel().syscall("ioctl", root, BTRFS_IOC_RESIZE, args), "resize", "btrfs");
  },
};
