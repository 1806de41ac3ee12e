/** Where things are in the guest; the same as upstream's, as hosts and mounts name them. */

/** Everything of the agent's. */
export const AGENT_DIRECTORY = "/run/kata-containers";
/** What the host shares or copies: root filesystems and volumes. */
export const SHARED_DIRECTORY = "/run/kata-containers/shared/containers";
/** What containers of the pod share inside of the guest: shm, ephemeral volumes. */
export const SANDBOX_DIRECTORY = "/run/kata-containers/sandbox";
/** The pod's name servers. */
export const RESOLV_CONF = "/run/kata-containers/sandbox/resolv.conf";
