/** The mounts of a container: those of every container, of the cluster, and of the pod's volumes. */
import { basename } from "node:path";
import { KataError } from "../../../kata-error.ts";
import type { Image } from "../image/image.ts";
import type { Node } from "../json.ts";
import { asExpression, type Pod, type PodContainer, type VolumeMount } from "../kubernetes/pod.ts";
import type { MountPolicy } from "../policy-data.ts";
import type { Settings } from "../settings.ts";
import { emptyDirKind } from "./storages.ts";

/** Mounts that containerd gives to every container. Source: containerd, oci/mounts.go; CRI plug-in for /sys and cgroup. */
function standardMounts(isPause: boolean, sysAccess: "ro" | "rw"): MountPolicy[] {
  const mount = (destination: string, type_: string, source: string, options: string): MountPolicy => ({
    destination,
    type_,
    source,
    options: options.split(","),
  });
  const mounts = [
    mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
    mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    mount("/sys", "sysfs", "sysfs", `nosuid,noexec,nodev,${sysAccess}`),
  ];
  const control = mount("/sys/fs/cgroup", "cgroup", "cgroup", `nosuid,noexec,nodev,relatime,${sysAccess}`);
  return isPause ? mounts : [...mounts, control];
}

export function pauseMounts(settings: Settings, podIsPrivileged: boolean): MountPolicy[] {
  const mounts = new MountList(standardMounts(true, podIsPrivileged ? "rw" : "ro"));
  for (const mount of settings.pause.mounts) {
    if (settings.mountDestinations.includes(mount.destination)) mounts.put(withSource(mount));
  }
  return mounts.list;
}

export function containerMounts(
  pod: Pod,
  container: PodContainer,
  image: Image,
  settings: Settings,
): MountPolicy[] {
  const { privileged, readOnlyRoot } = container.security;
  const mounts = new MountList(standardMounts(false, privileged ? "rw" : "ro"));
  const isMounted = (path: string) => container.volumeMounts.some(({ mountPath }) => mountPath === path);
  for (const mount of settings.other.mounts) {
    const { destination } = mount;
    if (!settings.mountDestinations.includes(destination) && !isMounted(destination)) continue;
    // The container manager makes these as writable as the root that they are in.
    const followsRoot = destination === "/etc/hostname" || destination === "/etc/resolv.conf";
    const options = followsRoot ? [...mount.options, readOnlyRoot ? "ro" : "rw"] : mount.options;
    const isMessage = destination === "/dev/termination-log";
    const place = isMessage ? (container.terminationMessagePath ?? destination) : destination;
    mounts.put({ ...withSource({ ...mount, destination: place }), options });
  }
  for (const volumeMount of container.volumeMounts) {
    const volume = pod.volumes.find((candidate) => candidate.at("name").text() === volumeMount.volume);
    if (volume === undefined) {
      throw new KataError("invalid-document", {
        operation: "find volume",
        object: `container ${container.name}: ${volumeMount.mountPath}`,
        hint: `the pod has no volume ${volumeMount.volume}`,
      });
    }
    mounts.put(volumeMountPolicy(volume, volumeMount, settings));
  }
  for (const path of image.config.volumes) {
    const destination = path.replace(/\/{2,}/g, "/").replace(/(.)\/$/, "$1");
    if (!mounts.has(destination)) mounts.put(imageVolume(destination, settings));
  }
  return mounts.list;
}

class MountList {
  readonly list: MountPolicy[];

  constructor(list: MountPolicy[]) {
    this.list = list;
  }

  has(destination: string): boolean {
    return this.list.some((mount) => mount.destination === destination);
  }

  /** Adds a mount, in place of one at the same destination. */
  put(mount: MountPolicy): void {
    const index = this.list.findIndex(({ destination }) => destination === mount.destination);
    if (index < 0) this.list.push(mount);
    else this.list[index] = mount;
  }
}

/** A bind mount without a source is of a file that the runtime shares, called after what it is mounted on. */
function withSource(mount: MountPolicy): MountPolicy {
  if (mount.source !== "" || mount.type_ !== "bind") return mount;
  return { ...mount, source: sharedFile(mount.destination) };
}

function sharedFile(destination: string): string {
  return `$(sfprefix)${asExpression(basename(destination))}$`;
}

function volumeMountPolicy(volume: Node, mount: VolumeMount, settings: Settings): MountPolicy {
  const destination = mount.mountPath;
  const access = mount.readOnly ? "ro" : "rw";
  const shared = (options: readonly string[]): MountPolicy => ({
    destination,
    type_: "bind",
    source: sharedFile(destination),
    options,
  });
  if (volume.at("emptyDir").isPresent || isBare(volume)) return emptyDirMount(volume, mount, settings);
  if (volume.at("configMap").isPresent || volume.at("secret").isPresent) {
    const kind = settings.volumes.configMap;
    const source = `${kind.mountPoint}${asExpression(basename(destination))}$`;
    return { destination, type_: kind.mountType, source, options: kind.options };
  }
  if (volume.at("projected").isPresent || volume.at("downwardAPI").isPresent) {
    return shared(["rbind", "rprivate", "ro"]);
  }
  const hostPath = volume.at("hostPath", "path").text();
  if (hostPath !== undefined && /^\/(dev|sys)\//.test(hostPath)) {
    return { destination, type_: "bind", source: hostPath, options: ["rbind", mount.propagation, access] };
  }
  return shared(["rbind", mount.propagation, access]);
}

/** A volume of no kind is an empty directory. */
function isBare(volume: Node): boolean {
  return volume.entries().length === 1;
}

/** The runtime always mounts empty directories privately. */
function emptyDirMount(volume: Node, mount: VolumeMount, settings: Settings): MountPolicy {
  const kind = emptyDirKind(volume, settings);
  const options = ["rbind", "rprivate", mount.readOnly ? "ro" : "rw"];
  const base = { destination: mount.mountPath, type_: kind.mountType, options };
  if (mount.subPathExpr !== undefined) return { ...base, source: sharedFile(mount.mountPath) };
  if (kind.mountSource.includes("$(b64_device_id)")) return { ...base, source: kind.mountSource };
  const below = mount.subPath === undefined ? "" : `/${asExpression(mount.subPath)}`;
  return { ...base, source: `${kind.mountSource}${asExpression(mount.volume)}${below}$` };
}

function imageVolume(destination: string, settings: Settings): MountPolicy {
  const kind = settings.volumes.imageVolume;
  const source = `${kind.mountSource}${asExpression(basename(destination))}$`;
  return { destination, type_: kind.fstype, source, options: kind.options };
}
