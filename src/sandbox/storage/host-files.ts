/** How files of the host come to the guest: shown in the shared directory, or copied where host and guest share none. */
import { KataError } from "../../kata-error.ts";
import { AT_FDCWD } from "../../sys/files.ts";
import { AT_RECURSIVE, OPEN_TREE_CLONE, openTree } from "../../sys/new-mount-api.ts";
import { GUEST_SHARE } from "../sandbox-paths.ts";
import type { ContainerRequest, Logger } from "../types.ts";
import type { BlockRootfs } from "./block-rootfs.ts";
import type { GuestCopies } from "./guest-copies.ts";
import type { GuestStorage } from "./guest-messages.ts";
import { hardenTree } from "./host-side-flags.ts";
import { isUpdated } from "./kubernetes-volume.ts";
import type { PlannedMount } from "./plan-mounts.ts";
import { shareRootfs } from "./rootfs.ts";
import { rootfsAsDisk } from "./rootfs-disk.ts";
import { type SandboxBindMount, shareSandboxBindMounts } from "./sandbox-bind-mounts.ts";
import type { SharedDirectory } from "./shared-directory.ts";
import { watchedCopy } from "./volumes.ts";

export type SharedMount = Extract<PlannedMount, { kind: "shared" }>;

/** A source of the host in the guest. */
export interface ShownSource {
  readonly guestPath: string;
  /** What the guest mounts for it. */
  readonly storages: readonly GuestStorage[];
}

export interface HostFiles {
  /** The root filesystem of a container that is no disk. @returns its path in the guest. */
  showRootfs(request: ContainerRequest): string;
  /**
   * The same as a disk that is made of it, where the guest shares no directory with the host.
   *
   * @throws KataError `unsupported` if the host cannot make one.
   */
  rootfsDisk?(request: ContainerRequest): Promise<BlockRootfs>;
  /** A place for the guest to mount something on. @returns the path in the guest. */
  emptyPlace(name: string): string;
  /** Makes the source of a mount visible under `name`. */
  show(mount: SharedMount, name: string): Promise<ShownSource>;
  showToPod(mounts: readonly SandboxBindMount[]): Promise<void>;
  /** Takes `name` away. A name that is not there is no error. */
  remove(name: string): void;
}

export class SharedFiles implements HostFiles {
  readonly #share: SharedDirectory;

  constructor(share: SharedDirectory) {
    this.#share = share;
  }

  showRootfs(request: ContainerRequest): string {
    return shareRootfs(this.#share, request);
  }

  emptyPlace(name: string): string {
    return this.#share.makeEmpty(name);
  }

  async show({ source, recursive, readOnly, follows }: SharedMount, name: string): Promise<ShownSource> {
    using tree = openTree(AT_FDCWD, source, OPEN_TREE_CLONE | (recursive ? AT_RECURSIVE : 0));
    hardenTree(tree, readOnly, follows);
    const guestPath = this.#share.place(tree, name);
    const copy = watchedCopy(source, guestPath, name);
    return copy === undefined
      ? { guestPath, storages: [] }
      : { guestPath: copy.mountPoint, storages: [copy] };
  }

  async showToPod(mounts: readonly SandboxBindMount[]): Promise<void> {
    shareSandboxBindMounts(this.#share, mounts);
  }

  remove(name: string): void {
    this.#share.remove(name);
  }
}

/** What is in the guest is the guest's: it changes with the host's files where Kubernetes changes them, and never the other way round. */
export class CopiedFiles implements HostFiles {
  readonly #copies: GuestCopies;
  readonly #logger: Logger;
  readonly #share: SharedDirectory;

  /** @param share where a root filesystem is mounted while a disk is made of it. */
  constructor(copies: GuestCopies, share: SharedDirectory, logger: Logger) {
    this.#copies = copies;
    this.#share = share;
    this.#logger = logger;
  }

  rootfsDisk(request: ContainerRequest): Promise<BlockRootfs> {
    return rootfsAsDisk(this.#share, request);
  }

  showRootfs({ id }: ContainerRequest): string {
    throw new KataError("unsupported", {
      operation: "provide root filesystem",
      object: `${id}: a directory of the host's`,
      hint: 'with shared_fs = "none" it has to be a disk, and this machine takes none while it runs: set pcie_root_port, or let the guest pull the image (experimental_force_guest_pull = true)',
    });
  }

  emptyPlace(name: string): string {
    return `${GUEST_SHARE}/${name}`;
  }

  async show({ mount, source, readOnly }: SharedMount, name: string): Promise<ShownSource> {
    if (readOnly === "no") {
      this.#logger.warn("what a container changes in a volume stays in the guest", {
        mount: mount.destination,
        source,
        hint: 'shared_fs = "none" copies files once',
      });
    }
    await this.#copies.copy(source, name, isUpdated(source));
    return { guestPath: `${GUEST_SHARE}/${name}`, storages: [] };
  }

  async showToPod(mounts: readonly SandboxBindMount[]): Promise<void> {
    for (const { path, name } of mounts) await this.#copies.copy(path, `sandbox-mounts/${name}`, false);
  }

  remove(name: string): void {
    this.#copies.forget(name);
  }
}
