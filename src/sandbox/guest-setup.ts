/** What a guest is told once, when its sandbox is created. Pure: from the specification to the agent's messages. */
import type { Spec } from "../oci/types.ts";
import { GUEST_SHARE, SHARE_TAG } from "./sandbox-paths.ts";
import type { GuestStorage } from "./storage/guest-messages.ts";
import { GUEST_SHM } from "./storage/plan-mounts.ts";

/** Size of the pod's /dev/shm unless its specification says otherwise, bytes: Docker's and Kubernetes' default. */
const DEFAULT_SHM_BYTES = 64 << 20;

/** The file systems that all containers of the pod use. */
export function sandboxStorages(spec: Spec, sharedDirectory: boolean): GuestStorage[] {
  const share: GuestStorage = {
    driver: "virtio-fs",
    source: SHARE_TAG,
    fstype: "virtiofs",
    // As upstream's runtime has it, which policies are made for; the agent lets no device nodes in by itself.
    options: [],
    mountPoint: `${GUEST_SHARE}/`,
  };
  const shm = shmStorage(shmSize(spec));
  return sharedDirectory ? [share, shm] : [shm];
}

/** What the containers' /dev/shm is. @param bytes its size. */
export function shmStorage(bytes = DEFAULT_SHM_BYTES): GuestStorage {
  return {
    driver: "ephemeral",
    source: "shm",
    fstype: "tmpfs",
    options: ["noexec", "nosuid", "nodev", "mode=1777", `size=${bytes}`],
    mountPoint: GUEST_SHM,
  };
}

const UNITS: Readonly<Record<string, number>> = { "": 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

/** Bytes, from the size of the specification's /dev/shm. */
function shmSize(spec: Spec): number {
  const mount = spec.mounts?.find(({ destination }) => destination === "/dev/shm");
  for (const option of mount?.options ?? []) {
    const [, number, unit = ""] = /^size=(\d{1,12})([kmg]?)$/i.exec(option) ?? [];
    if (number !== undefined) return Number(number) * (UNITS[unit.toLowerCase()] ?? 1);
  }
  return DEFAULT_SHM_BYTES;
}

/** Lines of resolv.conf(5), most at once: the agent's own bound. */
const MAX_DNS_LINES = 256;

/** The lines of a resolv.conf that mean something. */
export function dnsLines(resolvConf: string): string[] {
  return resolvConf
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !/^[#;]/.test(line))
    .slice(0, MAX_DNS_LINES);
}
