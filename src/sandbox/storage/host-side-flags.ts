/** What holds for every mount that a guest gets, on the host, whatever the guest makes of it. */
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MS_PRIVATE,
  MS_SLAVE,
} from "../../oci/mount-options.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { AT_EMPTY_PATH } from "../../sys/files.ts";
import { AT_RECURSIVE, mountSetattr } from "../../sys/new-mount-api.ts";

/**
 * Makes device nodes and set-uid programs in `tree` inert on the host, and cuts it off from mounts and unmounts elsewhere.
 *
 * @param readOnly for the mount itself, or for all below it too; refuses writes whatever the guest does (CVE-2020-28914).
 * @param follows whether the host's later mounts and unmounts reach it after all, if the host shares them (mount_namespaces(7)).
 */
export function hardenTree(
  tree: FileDescriptor,
  readOnly: "no" | "mount" | "recursive" = "no",
  follows = false,
): void {
  const inert = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID;
  const everywhere = inert | (readOnly === "recursive" ? MOUNT_ATTR_RDONLY : 0);
  mountSetattr(tree.fd, "", AT_EMPTY_PATH | AT_RECURSIVE, {
    set: everywhere,
    clear: 0,
    propagation: follows ? MS_SLAVE : MS_PRIVATE,
  });
  if (readOnly === "mount") mountSetattr(tree.fd, "", AT_EMPTY_PATH, { set: MOUNT_ATTR_RDONLY, clear: 0 });
}
