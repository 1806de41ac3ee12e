/**
 * The mount namespace of the process that stands for a container on the host.
 *
 * Engines reach into a running container by entering the namespaces of its process: `podman cp` copies to the root that it finds
 * there. So that they find the container's files, and not the host's, the process has the container's root file system for its
 * root, with the host's directories mounted in it as the guest has them.
 */

import { hasErrno } from "../../kata-error.ts";
import { MS_REC, MS_SLAVE } from "../../oci/mount-options.ts";
import type { Mount, Spec } from "../../oci/types.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { AT_FDCWD, exists, O_PATH, openInRoot } from "../../sys/files.ts";
import { MNT_DETACH, mount, pivotRoot, umount2 } from "../../sys/mount.ts";
import { unshare } from "../../sys/namespaces.ts";
import { AT_RECURSIVE, moveMount, moveMountTo, OPEN_TREE_CLONE, openTree } from "../../sys/new-mount-api.ts";
import { CLONE_NEWNS, chdir } from "../../sys/process.ts";
import { isBind } from "./prepare-spec.ts";

/** Below these the guest has its own. */
const GUEST_TREES = /^\/(dev|proc|sys)(\/|$)/;

/**
 * Gives this process the container's root. From then on no path of the host can be opened any more.
 *
 * @param spec with absolute paths of the host.
 */
export function enterContainerRoot(spec: Spec): void {
  const root = spec.root?.path;
  if (root === undefined) return;
  unshare(CLONE_NEWNS);
  // What the engine unmounts later is unmounted here too.
  mount(null, "/", null, MS_REC | MS_SLAVE);
  const volumes = (spec.mounts ?? []).filter(isVolume).map((each) => ({
    destination: each.destination,
    tree: openTree(AT_FDCWD, each.source ?? "", OPEN_TREE_CLONE | AT_RECURSIVE),
  }));
  {
    using tree = openTree(AT_FDCWD, root, OPEN_TREE_CLONE | AT_RECURSIVE);
    moveMountTo(tree.fd, root);
  }
  chdir(root);
  pivotRoot(".", ".");
  umount2(".", MNT_DETACH);
  chdir("/");
  using self = openRoot();
  for (const { destination, tree } of volumes) {
    place(self, destination, tree);
    tree.close();
  }
}

function isVolume(each: Mount): boolean {
  return isBind(each) && !GUEST_TREES.test(each.destination) && exists(each.source ?? "");
}

function openRoot(): FileDescriptor {
  return openInRoot(AT_FDCWD, ".", O_PATH);
}

/** The guest has made the mount point by now; it may have made something else of it, which is left alone. */
function place(root: FileDescriptor, destination: string, tree: FileDescriptor): void {
  try {
    using target = openInRoot(root.fd, destination, O_PATH);
    moveMount(tree.fd, target.fd);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
  }
}
