/** The ids that a container's process gets, from pod, image and settings. Source: containerd, oci.WithUser and its CRI plug-in. */
import type { Image } from "../image/image.ts";
import type { PodContainer, PodSecurity } from "../kubernetes/pod.ts";
import type { UserPolicy } from "../policy-data.ts";

interface PasswdRecord {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Reads `/etc/passwd`. Source: passwd(5). Lines that are no records are passed over, as in containerd. */
export function parsePasswd(text: string): PasswdRecord[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , uid = "", gid = ""] = line.split(":");
    return /^\d+$/.test(uid) && /^\d+$/.test(gid) ? [{ name, uid: Number(uid), gid: Number(gid) }] : [];
  });
}

/** Reads `/etc/group`. Source: group(5). */
export function parseGroups(text: string): { readonly gid: number; readonly members: readonly string[] }[] {
  return text.split("\n").flatMap((line) => {
    const [, , gid = "", members = ""] = line.split(":");
    return /^\d+$/.test(gid)
      ? [{ gid: Number(gid), members: members.split(",").filter((name) => name !== "") }]
      : [];
  });
}

/**
 * The user of a container.
 *
 * A user id without a group id gets the group that the image's passwd file has for it, or group 0: the kubelet passes on
 * only the user of an image's `user:group`.
 */
export function containerUser(security: PodSecurity, container: PodContainer, image: Image): UserPolicy {
  const passwd = parsePasswd(image.passwd);
  const uid = container.security.runAsUser ?? security.runAsUser ?? imageUid(image.config.user, passwd);
  const gid =
    container.security.runAsGroup ?? security.runAsGroup ?? passwd.find((user) => user.uid === uid)?.gid ?? 0;
  const names = passwd.filter((user) => user.uid === uid).map(({ name }) => name);
  const memberships = parseGroups(image.group)
    .filter(({ members }) => members.some((member) => names.includes(member)))
    .map((group) => group.gid);
  const pod = [...security.supplementalGroups, ...(security.fsGroup === undefined ? [] : [security.fsGroup])];
  return { UID: uid, GID: gid, AdditionalGids: ascending([gid, ...memberships, ...pod]), Username: "" };
}

/** The user of the sandbox's own process: the pod's, or the one that the settings have for the image. */
export function pauseUser(
  security: PodSecurity,
  image: Image,
  fallback: { readonly uid: number; readonly gid: number; readonly username: string },
  groups: "own-group" | "none",
): UserPolicy {
  const passwd = parsePasswd(image.passwd);
  const { runAsUser } = security;
  const fromImage = imageUid(image.config.user, passwd);
  const uid = runAsUser ?? (fromImage === 0 ? fallback.uid : fromImage);
  const gid =
    security.runAsGroup ??
    (runAsUser === undefined ? fallback.gid : (passwd.find((user) => user.uid === uid)?.gid ?? 0));
  const isChanged = runAsUser !== undefined || security.runAsGroup !== undefined;
  const additional = groups === "own-group" || isChanged ? [gid] : [];
  return { UID: uid, GID: gid, AdditionalGids: additional, Username: fallback.username };
}

function imageUid(user: string, passwd: readonly PasswdRecord[]): number {
  const [name = ""] = user.split(":");
  if (name === "") return 0;
  if (/^\d+$/.test(name)) return Number(name);
  return passwd.find((record) => record.name === name)?.uid ?? 0;
}

function ascending(ids: readonly number[]): number[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}
