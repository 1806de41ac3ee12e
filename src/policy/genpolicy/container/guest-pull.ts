/** What cannot be relied on when the guest pulls images itself. */
import { KataError } from "../../../kata-error.ts";
import type { Pod, PodContainer } from "../kubernetes/pod.ts";
import type { UserPolicy } from "../policy-data.ts";
import type { Settings } from "../settings.ts";

/**
 * The host's container manager has no layers then, and may see other users in the image than the policy does: they must be
 * the pod's own words.
 *
 * @throws KataError `guest-pull-user` with what to write into the pod.
 */
export function checkGuestPull(
  pod: Pod,
  container: PodContainer,
  user: UserPolicy,
  settings: Settings,
): void {
  if (!settings.guestPull) return;
  const explicitUser = container.security.runAsUser ?? pod.security.runAsUser;
  const explicitGroup = container.security.runAsGroup ?? pod.security.runAsGroup;
  const explicitGroups = [user.GID, ...pod.security.supplementalGroups, pod.security.fsGroup];
  const lines = [
    ...(user.UID !== 0 && explicitUser === undefined ? [`runAsUser: ${user.UID}`] : []),
    ...(user.GID !== 0 && explicitGroup === undefined ? [`runAsGroup: ${user.GID}`] : []),
  ];
  const groups = user.AdditionalGids.filter((gid) => !explicitGroups.includes(gid));
  if (groups.length > 0) lines.push(`supplementalGroups: [${groups.join(", ")}]`);
  if (lines.length === 0) return;
  throw new KataError("guest-pull-user", {
    operation: "make policy",
    object: `guest_pull is enabled for container ${container.name}`,
    hint: `its user comes from image ${container.image} alone; write into the pod's securityContext: ${lines.join(", ")}`,
  });
}
