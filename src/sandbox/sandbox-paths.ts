/** Where a sandbox keeps things, on the host and in the guest; upstream's paths, so that tools find them. */
import { KataError } from "../kata-error.ts";

/** Tag of the shared directory. */
export const SHARE_TAG = "kataShared";
/** Where the guest mounts the shared directory. */
export const GUEST_SHARE = "/run/kata-containers/shared/containers";
/** What containers of a pod share inside the guest. */
export const GUEST_SANDBOX = "/run/kata-containers/sandbox";

const RUN_DIRECTORY = "/run/kata";
const SHARE_DIRECTORY = "/run/kata-containers/shared/sandboxes";
/** Not in /run, which is the host's memory. */
const DISK_DIRECTORY = "/var/lib/kata-containers/disks";

export interface SandboxPaths {
  /** State of the sandbox; only root can look into it. */
  readonly run: string;
  /** What is needed to clean up after a crash. */
  readonly state: string;
  /** The file server's socket, for the moment between its making and its being connected. */
  readonly fileServerSocket: string;
  /** Holds the next two. */
  readonly share: string;
  /** Where mounts are made. */
  readonly mounts: string;
  /** The same tree as the file server exports it: read-only but for the mounts in it. */
  readonly exported: string;
  /** Disks that are made for containers, on the host's disk: for the moment until the machine has opened them. */
  readonly disks: string;
}

/** Longest id, characters: what containerd allows (identifiers.Validate). */
const MAX_ID_LENGTH = 76;

/**
 * The paths of sandbox `id`.
 *
 * @throws KataError `invalid-argument` for an id that is no plain name: it becomes part of paths and of file names.
 */
export function sandboxPaths(id: string): SandboxPaths {
  checkId(id);
  const run = `${RUN_DIRECTORY}/${id}`;
  const share = `${SHARE_DIRECTORY}/${id}`;
  return {
    run,
    state: `${run}/state.json`,
    fileServerSocket: `${run}/vhost-fs.sock`,
    share,
    mounts: `${share}/mounts`,
    exported: `${share}/shared`,
    disks: `${DISK_DIRECTORY}/${id}`,
  };
}

/** Directory of what tools of upstream's look for. */
const SANDBOXES = "/run/vc/sbs";

/** Directory of sandbox `id` that its management socket is in. */
export function managementDirectory(id: string): string {
  checkId(id);
  return `${SANDBOXES}/${id}`;
}

/** The management socket of the shim that serves sandbox `id`; upstream's path. */
export function shimMonitorSocket(id: string): string {
  return `${managementDirectory(id)}/shim-monitor.sock`;
}

/** Refuses an id of a sandbox or container that is no plain name. */
export function checkId(id: string): void {
  if (id.length <= MAX_ID_LENGTH && /^[A-Za-z0-9][\w.-]*$/.test(id)) return;
  throw new KataError("invalid-argument", {
    operation: "use id",
    object: JSON.stringify(id.slice(0, MAX_ID_LENGTH)),
    hint: `an id has 1 to ${MAX_ID_LENGTH} letters, digits, dots, dashes and underscores`,
  });
}
