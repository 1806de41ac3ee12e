/** What a container sees at /sys/fs/cgroup: its own part of each hierarchy. */
import { AT_EMPTY_PATH, AT_FDCWD } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import {
  fsconfigCreate,
  fsconfigString,
  fsmount,
  fsopen,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  mountSetattr,
  moveMount,
  OPEN_TREE_CLONE,
  openTree,
} from "../../sys/new-mount-api.ts";
import type { AttributeChange } from "./mount-plan.ts";
import { openDirectory } from "./mount-target.ts";

/** A container's cgroup as directories. */
export type VisibleCgroup =
  | { readonly version: 2; readonly directory: string }
  | {
      readonly version: 1;
      /** Name in /sys/fs/cgroup (`cpu,cpuacct`) and directory of each hierarchy. */
      readonly hierarchies: readonly { readonly name: string; readonly directory: string }[];
    };

const STRICT = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/** Shows `cgroup` at `destination` below `root`. Binds of its directories: the hierarchy above stays out of sight. */
export function mountCgroups(
  root: number,
  destination: string,
  attributes: AttributeChange,
  cgroup: VisibleCgroup,
): void {
  if (cgroup.version === 2) {
    bind(cgroup.directory, root, destination, attributes);
    return;
  }
  using context = fsopen("tmpfs");
  fsconfigString(context, "mode", "755");
  fsconfigCreate(context);
  using top = fsmount(context, STRICT);
  using target = openDirectory(root, destination);
  moveMount(top.fd, target.fd);
  for (const { name, directory } of cgroup.hierarchies) {
    bind(directory, root, `${destination}/${name}`, attributes);
    if (!name.includes(",")) continue;
    for (const part of name.split(",")) {
      check(kernel().syscall("symlinkat", name, top.fd, part), "make link", `${destination}/${part}`);
    }
  }
  mountSetattr(top.fd, "", AT_EMPTY_PATH, attributes);
}

function bind(directory: string, root: number, destination: string, attributes: AttributeChange): void {
  using tree = openTree(AT_FDCWD, directory, OPEN_TREE_CLONE);
  mountSetattr(tree.fd, "", AT_EMPTY_PATH, {
    set: attributes.set | STRICT,
    clear: attributes.clear & ~STRICT,
  });
  using target = openDirectory(root, destination);
  moveMount(tree.fd, target.fd);
}
