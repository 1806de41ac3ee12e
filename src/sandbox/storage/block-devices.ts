/**
 * Block devices of the host that a container is to have: each is plugged into the machine, and the guest gives it its own numbers.
 *
 * A container gets them by `linux.devices` (raw block volumes of Kubernetes, `--device`) or by a bind mount of the node.
 * Sources: OCI runtime specification, "Devices"; upstream Kata Containers, devices of a container.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { LinuxDevice, Spec } from "../../oci/types.ts";
import {
  AT_FDCWD,
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  open,
  readlinkat,
  readTextFileIfExists,
  S_IFBLK,
  S_IFMT,
  stat,
  statIfExists,
} from "../../sys/files.ts";
import { baseName } from "../path.ts";
import type { Logger } from "../types.ts";
import { diskOfDevice, type GuestDevice } from "./guest-messages.ts";
import type { DiskRequest, HeldDisk, SandboxDisks } from "./sandbox-disks.ts";
import { servedDisk, type VhostUserStore } from "./vhost-user-store.ts";

/** A block device for one container. */
export interface BlockDevice {
  /** Node on the host, or the socket of the program that serves it. */
  readonly path: string;
  readonly isServed?: boolean;
  readonly readOnly: boolean;
  /** As the container's specification has it; its numbers are the host's. */
  readonly device: LinuxDevice;
}

/** The disk of a device, plugged in. */
export interface PluggedBlockDevice {
  readonly message: GuestDevice;
  readonly disk: HeldDisk;
}

/** The block devices among `linux.devices`. */
export function blockDevicesOf(spec: Spec, logger: Logger, store?: VhostUserStore): BlockDevice[] {
  const devices = (spec.linux?.devices ?? []).filter(({ type }) => type === "b");
  const wanted = devices.map((device): BlockDevice => {
    const { major = -1, minor = -1 } = device;
    const readOnly = !mayWrite(spec, device);
    const socket = servedDisk(store, major, minor);
    if (socket !== undefined) return { path: socket, isServed: true, readOnly, device };
    return { path: nodeOf(major, minor, device.path), readOnly, device };
  });
  if (!mayUseAll(spec)) return wanted;
  // A privileged container is given all of the host's nodes. The host's own disks are not the guest's to write to.
  const own = wanted.filter(({ path, device }) => path === device.path);
  if (own.length > 0) {
    logger.warn("block devices of the host are not given to a privileged container as a whole", {
      devices: own.map(({ path }) => path).join(" "),
      hint: "set privileged_without_host_devices in containerd's configuration, and name the devices that it needs",
    });
  }
  return wanted.filter((each) => !own.includes(each));
}

/** The container's devices without block devices that it does not get after all. */
export function withBlockDevices(spec: Spec, given: readonly BlockDevice[]): Spec {
  const devices = spec.linux?.devices ?? [];
  const kept = devices.filter((device) => device.type !== "b");
  const blocks = given.map(({ device }) => device);
  if (blocks.length === 0 && kept.length === devices.length) return spec;
  return { ...spec, linux: { ...spec.linux, devices: [...kept, ...blocks] } };
}

/** A node that is bound over `destination`, as a device there. */
export function boundBlockDevice(
  path: string,
  destination: string,
  readOnly: boolean,
  store?: VhostUserStore,
): BlockDevice {
  const { mode, uid, gid, deviceMajor, deviceMinor } = stat(path);
  const socket = servedDisk(store, deviceMajor, deviceMinor);
  return {
    path: socket ?? path,
    isServed: socket !== undefined,
    readOnly,
    device: {
      type: "b",
      path: destination,
      major: deviceMajor,
      minor: deviceMinor,
      fileMode: mode & 0o7777,
      uid,
      gid,
    },
  };
}

/** Plugs it in. @throws KataError `failed-precondition` for a device that the host itself uses. */
export async function plugIn(disks: SandboxDisks, wanted: BlockDevice): Promise<PluggedBlockDevice> {
  if (!disks.canAttach) {
    throw new KataError("unsupported", {
      operation: "give block device to container",
      object: wanted.path,
      hint: "this machine takes no disks while it runs; use the board q35, or set pcie_root_port",
    });
  }
  const disk = await disks.attach(requestFor(wanted));
  return {
    disk,
    message: { ...diskOfDevice(disk.address), containerPath: wanted.device.path },
  };
}

function requestFor(wanted: BlockDevice): DiskRequest {
  if (wanted.isServed === true) return { socket: wanted.path };
  const readOnly = wanted.readOnly || isReadOnly(wanted.path);
  // Two kernels that write to one file system destroy it.
  if (!readOnly) requireUnused(wanted.path);
  return { path: wanted.path, readOnly };
}

/** The host's node of a device. */
function nodeOf(major: number, minor: number, containerPath: string): string {
  let name: string;
  try {
    name = baseName(readlinkat(AT_FDCWD, `/sys/dev/block/${major}:${minor}`));
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "EINVAL")) throw error;
    throw missing(`${major}:${minor} for ${containerPath}`, error);
  }
  const path = `/dev/${name.replaceAll("!", "/")}`;
  const status = statIfExists(path);
  const isIt =
    status !== undefined &&
    (status.mode & S_IFMT) === S_IFBLK &&
    status.deviceMajor === major &&
    status.deviceMinor === minor;
  if (isIt) return path;
  throw missing(`${path}, which is ${major}:${minor}, for ${containerPath}`);
}

function missing(object: string, cause?: unknown): KataError {
  return new KataError("not-found", {
    operation: "find block device",
    object,
    errno: "ENOENT",
    hint: "linux.devices of the specification names block devices by numbers of the host",
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Whether the host's kernel lets nobody write to the device. Source: Documentation/ABI/stable/sysfs-block, "ro". */
function isReadOnly(path: string): boolean {
  const { deviceMajor, deviceMinor } = stat(path);
  return readTextFileIfExists(`/sys/dev/block/${deviceMajor}:${deviceMinor}/ro`)?.trim() === "1";
}

/** Source: open(2), "O_EXCL … on block devices": EBUSY if it is mounted, swap, or part of a larger device. */
export function requireUnused(path: string): void {
  try {
    open(path, O_RDONLY | O_EXCL | O_NONBLOCK).close();
  } catch (error) {
    if (!hasErrno(error, "EBUSY")) throw error;
    throw new KataError("failed-precondition", {
      operation: "use block device",
      object: path,
      errno: error.errno,
      hint: "the host has it mounted or in use; unmount it there, or give it read-only",
      cause: error,
    });
  }
}

/** Whether the container may use any device, as a privileged one. */
export function mayUseAll(spec: Spec): boolean {
  const rules = spec.linux?.resources?.devices ?? [];
  const last = rules.findLast(
    ({ type = "a", major = -1, minor = -1 }) => (type === "a" || type === "") && major < 0 && minor < 0,
  );
  return last?.allow === true;
}

/** What the last rule for the device says; without one, whoever lists a device means to use it. */
function mayWrite(spec: Spec, device: LinuxDevice): boolean {
  const rule = spec.linux?.resources?.devices?.findLast(
    ({ type, major, minor }) => type === "b" && major === device.major && minor === device.minor,
  );
  return rule === undefined || rule.access === undefined || rule.access === "" || rule.access.includes("w");
}
