/** Everything of the host's that a container sees: its root filesystem and volumes, in the shared directory. */
import type { Mount } from "../../oci/types.ts";
import {
  AT_FDCWD,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  S_IFSOCK,
  statIfExists,
} from "../../sys/files.ts";
import { AT_RECURSIVE, OPEN_TREE_CLONE, openTree } from "../../sys/new-mount-api.ts";
import { baseName } from "../path.ts";
import { checkId } from "../sandbox-paths.ts";
import type { ContainerRequest, Logger } from "../types.ts";
import { hardenTree } from "./host-side-flags.ts";
import { type PlannedMount, planMount, type SourceType } from "./plan-mounts.ts";
import { rootfsName, shareRootfs } from "./rootfs.ts";
import type { SharedDirectory } from "./shared-directory.ts";

/** Characters of a source's own name that its name in the shared directory keeps: names are for people. */
const KEPT_NAME = 32;

export class ContainerMounts implements Disposable {
  /** Root filesystem, as a path in the guest. */
  readonly rootfs: string;
  /** The mounts of the specification, with sources in the guest. */
  readonly mounts: readonly Mount[];
  readonly #share: SharedDirectory;
  readonly #names: readonly string[];

  private constructor(
    share: SharedDirectory,
    rootfs: string,
    mounts: readonly Mount[],
    names: readonly string[],
  ) {
    this.#share = share;
    this.rootfs = rootfs;
    this.mounts = mounts;
    this.#names = names;
  }

  /** Shares what `request` needs. @throws KataError that names a missing source; nothing stays mounted then. */
  static create(share: SharedDirectory, request: ContainerRequest, logger: Logger): ContainerMounts {
    checkId(request.id);
    const planned = (request.spec.mounts ?? []).map((mount) => planMount(mount, sourceType));
    const names: string[] = [];
    try {
      const rootfs = shareRootfs(share, request);
      names.push(rootfsName(request.id));
      const mounts = planned.map((plan, index) => {
        if (plan.kind === "guest") return plan.mount;
        if (plan.warning !== undefined) logger.warn(plan.warning, { container: request.id });
        const name = `${request.id}-${index}-${plainName(plan.source)}`;
        const source = shareSource(share, plan, name);
        names.push(name);
        return { ...plan.mount, source };
      });
      return new ContainerMounts(share, rootfs, mounts, names);
    } catch (error) {
      for (const name of names.reverse()) share.remove(name);
      throw error;
    }
  }

  /** Takes it all away from the guest. Any number of calls. */
  [Symbol.dispose](): void {
    for (const name of [...this.#names].reverse()) this.#share.remove(name);
  }
}

function shareSource(
  share: SharedDirectory,
  plan: Extract<PlannedMount, { kind: "shared" }>,
  name: string,
): string {
  using tree = openTree(AT_FDCWD, plan.source, OPEN_TREE_CLONE | (plan.recursive ? AT_RECURSIVE : 0));
  hardenTree(tree, plan.readOnly);
  return share.place(tree, name);
}

function plainName(path: string): string {
  return (
    baseName(path)
      .replace(/[^\w.-]/g, "_")
      .slice(0, KEPT_NAME) || "root"
  );
}

const TYPES: ReadonlyMap<number, SourceType> = new Map([
  [S_IFDIR, "directory"],
  [S_IFSOCK, "socket"],
  [S_IFIFO, "fifo"],
  [S_IFCHR, "character-device"],
  [S_IFBLK, "block-device"],
]);

function sourceType(path: string): SourceType | undefined {
  if (path === "") return undefined;
  const status = statIfExists(path);
  return status === undefined ? undefined : (TYPES.get(status.mode & S_IFMT) ?? "file");
}
