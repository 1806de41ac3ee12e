/**
 * Everything of the host's that a container sees: its root filesystem, volumes and disks.
 *
 * Files are shown to the guest in the shared directory; disks are plugged into the machine, where the guest mounts them or makes
 * nodes of them.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { swapBytesOf, withSwapAnnotations } from "../../oci/swap-annotations.ts";
import type { LinuxDevice, Mount, Spec } from "../../oci/types.ts";
import { unlinkIfExists } from "../../sys/files.ts";
import { Rollback } from "../../sys/rollback.ts";
import { containerKind } from "../bundle-annotations.ts";
import { checkId } from "../sandbox-paths.ts";
import type { ContainerRequest, Logger } from "../types.ts";
import type { HostCards } from "../vfio/host-cards.ts";
import { vfioNodesFor } from "../vfio/vfio-nodes.ts";
import {
  type BlockDevice,
  blockDevicesOf,
  boundBlockDevice,
  plugIn,
  withBlockDevices,
} from "./block-devices.ts";
import { type BlockRootfs, blockRootfs } from "./block-rootfs.ts";
import { diskOfStorage, type GuestDevice, type GuestStorage, rootModeOption } from "./guest-messages.ts";
import { pulledRootfs } from "./guest-pull.ts";
import type { HostFiles, SharedMount } from "./host-files.ts";
import { hostView } from "./host-view.ts";
import { CHANGES_ON_DISK, type ChangesDisk } from "./layer-changes.ts";
import { type LayeredRootfs, layeredRootfs, type RootfsLayer } from "./layered-rootfs.ts";
import { planMount } from "./plan-mounts.ts";
import { rootfsName } from "./rootfs.ts";
import type { HeldDisk, SandboxDisks } from "./sandbox-disks.ts";
import type { VhostUserStore } from "./vhost-user-store.ts";
import { virtualVolume } from "./virtual-volume.ts";
import { provideVolume, storageName, type VolumeContext } from "./volumes.ts";

/** What the containers of a pod get their storage from. */
export interface PodStorage extends VolumeContext {
  readonly files: HostFiles;
  /** Whether a root filesystem that is a disk goes into the guest as one. */
  readonly blockRootfs: boolean;
  /** Whether the guest pulls the images of all containers by itself. */
  readonly guestPull: boolean;
  /** Gives the guest swap space for a container. @returns what gives it up. Undefined: it has none for containers. */
  readonly swap?: SwapForContainers | undefined;
  /** What plugs cards of the host in; undefined: none is. */
  readonly hostCards?: (() => Promise<Pick<HostCards, "plugIn">>) | undefined;
  /** Where nodes stand for disks that other programs serve; undefined for nowhere. */
  readonly vhostUserStore?: VhostUserStore | undefined;
  /** Where containers write over verified layers. */
  readonly changes: ChangesDisk;
  readonly logger: Logger;
}

export interface SwapForContainers {
  /** Bytes for a container that asks for swap space and has no limits. */
  readonly otherwise: number;
  give(bytes: number): Promise<() => void>;
}

export class ContainerMounts {
  /** What the guest mounts before the container. */
  readonly storages: readonly GuestStorage[];
  /** What has been plugged in for the container's specification. */
  readonly devices: readonly GuestDevice[];
  /** The container's specification, with root, mounts and devices as the guest has them. */
  readonly spec: Spec;
  readonly #undo: Rollback;

  private constructor(spec: Spec, parts: Collected, undo: Rollback) {
    this.spec = spec;
    this.storages = parts.storages;
    this.devices = parts.devices;
    this.#undo = undo;
  }

  /** Provides what `request` needs. @throws KataError that names a missing source; nothing is left then. */
  static async create(pod: PodStorage, request: ContainerRequest): Promise<ContainerMounts> {
    checkId(request.id);
    const planned = withoutCoveredMemory(request.spec.mounts ?? []).map((mount) =>
      planMount(mount, hostView),
    );
    const undo = new Rollback();
    const parts: Collected = { storages: [], devices: [], blocks: [] };
    const limited = withSwapAnnotations(request.spec);
    try {
      await giveSwapSpace(pod, limited, undo);
      for (const block of blockDevicesOf(request.spec, pod.logger, pod.vhostUserStore))
        await giveBlockDevice(pod, block, parts, undo);
      for (const node of vfioNodesFor(request.spec, pod.logger)) await giveCards(pod, node, parts, undo);
      const path = await provideRootfs(pod, request, parts, undo);
      const mounts: Mount[] = [];
      for (const [index, plan] of planned.entries()) {
        if (plan.kind === "guest") mounts.push(plan.mount);
        else if (plan.kind === "shared") {
          const name = storageName(request.id, index, plan.mount.destination);
          mounts.push(await provideShared(pod, plan, name, parts, undo));
        } else {
          const block = boundBlockDevice(
            plan.source,
            plan.mount.destination,
            plan.readOnly,
            pod.vhostUserStore,
          );
          await giveBlockDevice(pod, block, parts, undo);
        }
      }
      const spec = withBlockDevices(limited, parts.blocks);
      return new ContainerMounts({ ...spec, root: { ...spec.root, path }, mounts }, parts, undo);
    } catch (error) {
      await undo.run();
      throw error;
    }
  }

  /** Takes it all away from the guest, which no longer uses it. Any number of calls. */
  async release(): Promise<void> {
    await this.#undo.run();
  }
}

interface Collected {
  readonly storages: GuestStorage[];
  readonly devices: GuestDevice[];
  readonly blocks: BlockDevice[];
}

async function giveBlockDevice(
  pod: PodStorage,
  block: BlockDevice,
  { devices, blocks }: Collected,
  undo: Rollback,
): Promise<void> {
  const { disk, message } = await plugIn(pod.disks, block);
  undo.add(`block device ${block.path}`, () => disk.release());
  devices.push(message);
  blocks.push(block);
}

async function giveSwapSpace({ swap }: PodStorage, spec: Spec, undo: Rollback): Promise<void> {
  // A pod's annotations reach the container that only holds it, too.
  if (swap === undefined || containerKind(spec) === "pod_sandbox") return;
  const bytes = swapBytesOf(spec, swap.otherwise);
  if (bytes > 0) undo.add("swap space", await swap.give(bytes));
}

async function giveCards(
  pod: PodStorage,
  node: LinuxDevice,
  { devices }: Collected,
  undo: Rollback,
): Promise<void> {
  if (pod.hostCards === undefined) {
    throw new KataError("unsupported", {
      operation: "give VFIO device to container",
      object: node.path,
      hint: 'set hot_plug_vfio in configuration.toml, to "root-port" with pcie_root_port for example',
    });
  }
  const cards = await (await pod.hostCards()).plugIn(node);
  undo.add(`cards behind ${node.path}`, () => cards.release());
  devices.push(cards.message);
}

/** Container managers mount a /dev/shm of the container's own below the pod's; nobody sees it, and policies allow one. */
function withoutCoveredMemory(mounts: readonly Mount[]): readonly Mount[] {
  const last = mounts.findLastIndex(({ destination }) => destination === "/dev/shm");
  return mounts.filter(({ destination }, index) => destination !== "/dev/shm" || index === last);
}

/** @returns the root filesystem's path in the guest. */
async function provideRootfs(
  pod: PodStorage,
  request: ContainerRequest,
  parts: Collected,
  undo: Rollback,
): Promise<string> {
  const name = rootfsName(request.id);
  const layered = layeredRootfs(request.rootfs);
  if (layered !== undefined) {
    const mountPoint = pod.files.emptyPlace(name);
    undo.add("place of root filesystem", () => pod.files.remove(name));
    parts.storages.push(...(await plugInLayers(pod, layered, request, mountPoint, undo)));
    return mountPoint;
  }
  // Nobody but the guest can mount what is only described.
  const described = virtualVolume(request.rootfs);
  if (pod.guestPull || described?.kind === "guest-pull") {
    const storage = pulledRootfs(request, described?.kind === "guest-pull" ? described.image : "");
    parts.storages.push(storage);
    return storage.mountPoint;
  }
  const made = pod.disks.canAttach ? pod.files.rootfsDisk?.bind(pod.files) : undefined;
  const block = described?.disk ?? blockRootfsOf(pod, request) ?? (await made?.(request));
  if (block === undefined) {
    const path = pod.files.showRootfs(request);
    undo.add("root filesystem", () => pod.files.remove(name));
    return path;
  }
  const mountPoint = pod.files.emptyPlace(name);
  undo.add("place of root filesystem", () => pod.files.remove(name));
  parts.storages.push(await plugInRootfs(pod, block, mountPoint, undo));
  return mountPoint;
}

/** The root filesystem as a disk, if it is to come as one. */
function blockRootfsOf(pod: PodStorage, { rootfs }: ContainerRequest): BlockRootfs | undefined {
  return pod.blockRootfs && pod.disks.canAttach ? blockRootfs(rootfs, hostView.typeOf) : undefined;
}

async function plugInRootfs(
  { disks }: PodStorage,
  { path, filesystem, readOnly, options, verity, made }: BlockRootfs,
  mountPoint: string,
  undo: Rollback,
): Promise<GuestStorage> {
  const disk = await disks.attach({ path, readOnly, isMade: made !== undefined }).finally(() => {
    // The machine has opened it, and its room on the disk goes with the last who has.
    if (made !== undefined) unlinkIfExists(path);
  });
  undo.add("disk of root filesystem", () => disk.release());
  const { driver, source, driverOptions } = diskOfStorage(disk.address);
  return {
    driver,
    driverOptions: [
      ...driverOptions,
      ...(verity === undefined ? [] : [`verity_info=${verity}`]),
      ...(made === undefined ? [] : [rootModeOption(made.rootMode)]),
    ],
    source,
    fstype: filesystem,
    options,
    mountPoint,
  };
}

/** Plugs each layer in, or shares what another container has. */
async function plugInLayers(
  { disks, changes }: PodStorage,
  { layers, overlay }: LayeredRootfs,
  { spec }: ContainerRequest,
  mountPoint: string,
  undo: Rollback,
): Promise<GuestStorage[]> {
  if (!disks.canAttach) {
    throw new KataError("unsupported", {
      operation: "give layers to container",
      object: `${layers.length} layers`,
      hint: "this machine takes no disks while it runs; use the board q35, or set pcie_root_port",
    });
  }
  const storages: GuestStorage[] = [];
  for (const layer of layers) {
    const disk = await attachLayer(disks, layer);
    undo.add(`layer ${layer.path}`, () => disk.release());
    storages.push({ ...layer.storage, ...diskOfStorage(disk.address) });
  }
  // Nothing is written to a root that is read-only.
  const disk = spec.root?.readonly === true ? undefined : await changes.storage();
  if (disk === undefined) return [...storages, { ...overlay, mountPoint }];
  const options = [...overlay.options, CHANGES_ON_DISK];
  return [...storages, disk, { ...overlay, options, mountPoint }];
}

async function attachLayer(disks: SandboxDisks, { path }: RootfsLayer): Promise<HeldDisk> {
  try {
    return await disks.attach({ path, readOnly: true });
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR")) throw error;
    throw new KataError("not-found", {
      operation: "find layer of root filesystem",
      object: path,
      errno: error.errno,
      hint: "the snapshotter has lost it: remove the image and pull it again",
      cause: error,
    });
  }
}

/** @returns the mount as the guest makes it. */
async function provideShared(
  pod: PodStorage,
  plan: SharedMount,
  name: string,
  { storages }: Collected,
  undo: Rollback,
): Promise<Mount> {
  const volume = await provideVolume(pod, plan.mount, name, undo);
  if (volume !== undefined) {
    storages.push(...volume.storages);
    return volume.mount;
  }
  if (plan.warning !== undefined) pod.logger.warn(plan.warning, { mount: plan.mount.destination });
  undo.add(name, () => pod.files.remove(name));
  const shown = await pod.files.show(plan, name);
  storages.push(...shown.storages);
  return { ...plan.mount, source: shown.guestPath };
}
