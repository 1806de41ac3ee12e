/** What a guest's root file system asks of its monitor and its kernel. */
import type { GuestRoot } from "./types.ts";
import { verityRootParameters } from "./verity-parameters.ts";

/** The image is the first virtio-blk disk. */
const ROOT_DISK = "/dev/vda";

/** The archive that the kernel begins with: the root itself, or what finds the root on its disk. */
export function initialArchive(root: GuestRoot): string | undefined {
  return root.kind === "initrd" ? root.path : root.initrd;
}

/** The kernel's parameters about its root. */
export function rootParameters(root: GuestRoot): string[] {
  if (root.kind === "initrd") return [];
  const device =
    root.verity === undefined ? [`root=${ROOT_DISK}1`] : verityRootParameters(root.verity, ROOT_DISK);
  return [...device, "rootflags=ro", "ro", `rootfstype=${root.filesystem}`];
}
