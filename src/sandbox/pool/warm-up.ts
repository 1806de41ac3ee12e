/**
 * Runs in a machine what a pod's start runs, and takes it back.
 *
 * An emulated processor translates code when it is first executed, which is most of what a first container costs; and a kernel on
 * any processor has caches to fill. The translations stay with the monitor's process.
 */
import type { Spec } from "../../oci/types.ts";
import { specToMessage } from "../../oci/wire.ts";
import { loop } from "../../sys/event-loop.ts";
import type { AgentClient } from "../agent-client.ts";
import { shareRootfs } from "../storage/rootfs.ts";
import type { SharedDirectory } from "../storage/shared-directory.ts";
import type { Logger } from "../types.ts";

/** Of each step in an emulated guest that has run none of it, ms. */
const STEP_DEADLINE_MS = 60_000;
/** A first one translates, the next ones show that the paths between are translated too. */
const ROUNDS = 3;

const CALL = { timeoutMs: STEP_DEADLINE_MS };

/** @param root directory on the host with the program, see `warm-root.ts`. */
export async function warmUp(
  calls: AgentClient,
  share: SharedDirectory,
  root: string,
  logger: Logger,
): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const began = loop.now();
    await calls.createSandbox({ ...EMPTY_POD, ...WARM_NETWORK }, CALL);
    const pod = loop.now();
    await runContainer(calls, share, root, `warm${round}`);
    const ended = loop.now();
    logger.debug("warmed", { round, pod_ms: Math.round(pod - began), container_ms: Math.round(ended - pod) });
  }
  await calls.createSandbox({ ...EMPTY_POD, parkInterfaces: true }, CALL);
}

/** A CreateSandbox that leaves the machine without a pod. */
export const EMPTY_POD = {
  hostname: "",
  dns: [],
  storages: [],
  sandboxPidns: false,
  sandboxId: "",
  kernelModules: [],
  prepare: true,
} as const;

/** Addresses for documentation (RFC 5737); they go when the card is parked. */
const WARM_NETWORK = {
  hostname: "warm",
  dns: ["nameserver 192.0.2.1"],
  interfaces: {
    Interfaces: [
      {
        device: "eth0",
        name: "eth0",
        IPAddresses: [{ family: 0, address: "192.0.2.2", mask: "24" }],
        mtu: 1500n,
        hwAddr: "02:00:00:00:00:02",
        rawFlags: 0,
      },
    ],
  },
  routes: {
    Routes: [
      {
        dest: "",
        gateway: "192.0.2.1",
        device: "eth0",
        source: "",
        scope: 0,
        family: 0,
        flags: 0,
        mtu: 0,
        priority: 0,
      },
    ],
  },
} as const;

async function runContainer(
  calls: AgentClient,
  share: SharedDirectory,
  root: string,
  id: string,
): Promise<void> {
  const spec = warmSpec(root);
  const request = { id, bundle: root, spec, rootfs: [] };
  const path = shareRootfs(share, request);
  try {
    const OCI = specToMessage({ ...spec, root: { ...spec.root, path } });
    await calls.createContainer(
      { containerId: id, OCI, storages: [], devices: [], sandboxPidns: false },
      CALL,
    );
    await calls.startContainer({ containerId: id }, CALL);
    const address = { containerId: id, execId: "" };
    const ended = calls.waitProcess(address, CALL);
    await Promise.all([
      calls.readStdout({ ...address, len: 4096 }, CALL),
      // The end of a stream is an error in the protocol.
      calls.readStderr({ ...address, len: 4096 }, CALL).catch(() => undefined),
      ended,
    ]);
    await calls.removeContainer({ containerId: id, timeout: 0 }, CALL);
  } finally {
    share.remove(`${id}/rootfs`);
  }
}

const NO_ACCESS = ["nosuid", "noexec", "nodev"];

/** As containerd describes a container that asks for nothing. */
function warmSpec(root: string): Spec {
  const capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID", "CAP_SETGID"];
  return {
    ociVersion: "1.1.0",
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ["/bin/program", "version"],
      env: ["PATH=/bin"],
      cwd: "/",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: root, readonly: false },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: NO_ACCESS },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      {
        destination: "/dev/shm",
        type: "tmpfs",
        source: "shm",
        options: [...NO_ACCESS, "mode=1777", "size=65536k"],
      },
      { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: NO_ACCESS },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: [...NO_ACCESS, "ro"] },
      {
        destination: "/run",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
    ],
    linux: {
      cgroupsPath: "/warm/up",
      resources: { devices: [{ allow: false, access: "rwm" }] },
      maskedPaths: [
        "/proc/acpi",
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/scsi",
        "/sys/firmware",
      ],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
      namespaces: [{ type: "pid" }, { type: "ipc" }, { type: "uts" }, { type: "mount" }, { type: "network" }],
    },
  };
}
