/** A volume that is a disk with a file system, which the guest mounts. */
import { encodeBase64 } from "../../crypto/base64.ts";
import { KataError } from "../../kata-error.ts";
import { S_IFBLK, S_IFMT, S_IFREG, statIfExists } from "../../sys/files.ts";
import type { Rollback } from "../../sys/rollback.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { requireUnused } from "./block-devices.ts";
import type { DirectVolume } from "./direct-volume.ts";
import { diskBytes } from "./disk-bytes.ts";
import { hasFilesystem, makeFilesystem } from "./filesystem-image.ts";
import {
  addressText,
  diskOfStorage,
  GUEST_DISKS,
  type GuestStorage,
  podDiskOptions,
} from "./guest-messages.ts";
import { requireSocket } from "./vhost-user-store.ts";
import type { VolumeContext } from "./volumes.ts";

export interface DiskVolume extends DirectVolume {
  /** The volume's path on the host. */
  readonly path: string;
  /** Whether it is written down as a direct volume. */
  readonly isDirect: boolean;
  /** That it is made for the pod and its until the end, and whether the guest encrypts it with a key that ends with it. */
  readonly ofPod?: { readonly isEncrypted: boolean };
}

/** Plugs the disk in, or shares it with the pod's other containers. */
export async function diskVolume(
  { disks, volumes }: VolumeContext,
  volume: DiskVolume,
  undo: Rollback,
): Promise<GuestStorage> {
  const { path, device, filesystem, options, group } = volume;
  if (!volume.isServed) await prepareDisk(volume);
  const readOnly = options.includes("ro");
  const disk = await disks.attach(
    volume.isServed
      ? { socket: requireSocket(device) }
      : { path: device, readOnly, isMade: volume.ofPod !== undefined },
  );
  // Whoever starts again finds in it what was there, mounted still: nothing but the guest may have the key.
  if (volume.ofPod === undefined) undo.add(`disk of volume ${path}`, () => disk.release());
  const guestPath = `${GUEST_DISKS}/${encodeBase64(utf8Encode(addressText(disk.address)), true, true)}`;
  undo.add(
    `volume ${path}`,
    volumes.add({ path, device, isServed: volume.isServed, guestPath, diskId: disk.id }, volume.isDirect),
  );
  const { driver, source, driverOptions } = diskOfStorage(disk.address);
  return {
    driver,
    driverOptions: [
      ...driverOptions,
      ...(volume.ofPod === undefined ? [] : podDiskOptions(volume.ofPod.isEncrypted)),
    ],
    source,
    fstype: filesystem,
    options,
    mountPoint: guestPath,
    ...(group === undefined
      ? {}
      : { fsGroup: { groupId: group.gid, groupChangePolicy: group.onRootMismatch ? 1 : 0 } }),
    ...(volume.ofPod === undefined ? {} : { shared: true }),
  };
}

/** Makes sure that the disk is one that the guest can have, with a file system. */
async function prepareDisk({ path, device, filesystem, createFilesystem }: DiskVolume): Promise<void> {
  const kind = (statIfExists(device)?.mode ?? 0) & S_IFMT;
  if (kind !== S_IFBLK && kind !== S_IFREG) {
    throw new KataError("not-found", {
      operation: "provide volume",
      object: `${device} of ${path}`,
      hint: "its device is a block device or a file on the host",
    });
  }
  if (kind === S_IFBLK) requireUnused(device);
  if (createFilesystem && !hasFilesystem(device)) await makeFilesystem(device, filesystem);
}

/** Bytes of a disk that has grown to `wanted`. @throws KataError `out-of-range` if it has not. */
export function grownDiskBytes(path: string, wanted: bigint): bigint {
  const bytes = diskBytes(path);
  if (wanted > 0n && wanted <= bytes) return bytes;
  throw new KataError("out-of-range", {
    operation: "resize volume",
    object: `${path} of ${bytes} bytes to ${wanted}`,
    hint: "the size is at least 1, and the device has to be made larger first",
  });
}
