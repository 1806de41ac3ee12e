/**
 * The user that a monitor runs as instead of root: its own, so that a guest that has taken the monitor over is nobody on the host.
 *
 * What it needs of the host it inherits as descriptors, opened by root before. It is no user of /etc/passwd, and lasts as long as its
 * directory, which is made by whoever takes the number; nobody else has it meanwhile.
 */
import { KataError } from "../../kata-error.ts";
import { chown, mkdirAll, mkdirIfMissing, readTextFileIfExists, statIfExists } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";
import {
  getppid,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_PDEATHSIG,
  prctl,
  SIGKILL,
  setgroups,
  setIds,
} from "../../sys/process.ts";
import type { Accelerator } from "./accelerator.ts";

export interface MonitorUser {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Its own, for sockets and copies. */
  readonly directory: string;
}

/** A user that the operator has made for it. */
export interface NamedUser {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** Numbers that no distribution gives to anybody, below 2^31, beyond which programs take them for negative. */
const FIRST_UID = 2_147_000_000;
const UIDS = 10_000;
const USERS = "/run/user";
/** A socket's path has 107 characters. */
const MAX_NAME = 32;

/**
 * Takes a user for the monitor of sandbox `id`, and makes its directory.
 *
 * @param named undefined for one that nobody has.
 * @throws KataError `resource-exhausted` if all are taken, `already-exists` if a machine of this sandbox has left its directory.
 */
export function takeMonitorUser(id: string, named: NamedUser | undefined): MonitorUser {
  mkdirAll(USERS, 0o755);
  if (named !== undefined) {
    const parent = `${USERS}/${named.uid}`;
    if (mkdirIfMissing(parent, 0o700)) chown(parent, named.uid, named.gid);
    const directory = `${parent}/kata-${id.slice(0, MAX_NAME)}`;
    if (mkdirIfMissing(directory, 0o700)) return owned({ ...named, directory });
    throw new KataError("already-exists", { operation: "make directory of monitor", object: directory });
  }
  const listed = readTextFileIfExists("/etc/passwd") ?? "";
  for (let uid = FIRST_UID; uid < FIRST_UID + UIDS; uid++) {
    if (listed.includes(`:${uid}:`)) continue;
    const directory = `${USERS}/${uid}`;
    if (mkdirIfMissing(directory, 0o700)) return owned({ uid, gid: uid, groups: [], directory });
  }
  throw new KataError("resource-exhausted", {
    operation: "find a user for the monitor",
    object: `${FIRST_UID} to ${FIRST_UID + UIDS - 1} are all taken`,
    hint: "set rootless_user of the hypervisor in configuration.toml, or end pods",
  });
}

function owned(user: MonitorUser): MonitorUser {
  chown(user.directory, user.uid, user.gid);
  return user;
}

/** Whether `path` is such a directory: what a record says is removed by root. */
export function isMonitorDirectory(path: unknown): path is string {
  return typeof path === "string" && /^\/run\/user\/[1-9]\d{0,9}(\/kata-[A-Za-z0-9][\w.-]*)?$/.test(path);
}

/** `user` with the group that the accelerator's device belongs to. @throws KataError `failed-precondition` if a group does not do. */
export function withDeviceGroup(
  user: MonitorUser,
  accelerator: Accelerator,
  statOf: typeof statIfExists = statIfExists,
): MonitorUser {
  if (accelerator === "tcg") return user;
  const path = `/dev/${accelerator}`;
  const status = statOf(path);
  const [forOthers, forGroup] = [0o006, 0o060];
  if (status === undefined || (status.mode & forOthers) === forOthers) return user;
  if ((status.mode & forGroup) === forGroup && status.gid !== 0) {
    return { ...user, groups: [...user.groups, status.gid] };
  }
  throw new KataError("failed-precondition", {
    operation: "run the monitor as a user of its own",
    object: `${path} is root's alone`,
    hint: `give it a group: chgrp kvm ${path} && chmod 660 ${path}`,
  });
}

/** Makes the calling process, which is about to become the monitor, that user's. There is no way back. */
export function becomeMonitorUser({ uid, gid, groups }: MonitorUser): void {
  const parent = getppid();
  setgroups(groups);
  setIds(uid, gid);
  prctl(PR_SET_NO_NEW_PRIVS, 1);
  // Taken away by the change of users.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have ended before the line above.
  if (getppid() !== parent) kernel().syscall("exit_group", 1);
}
