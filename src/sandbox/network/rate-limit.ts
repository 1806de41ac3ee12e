/**
 * Limits on what a pod receives and sends.
 *
 * The kernel can delay only what leaves a link. What comes in on one is therefore sent through an intermediate functional block
 * (ifb), which hands it back when it has left that.
 * Source: Linux Documentation/networking/ifb.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { createLink, linkByName } from "../../sys/netlink/links.ts";
import { limitEgress } from "../../sys/netlink/traffic-control.ts";
import { blockName } from "./card-names.ts";
import type { NetworkChanges } from "./network-changes.ts";
import { type LinkName, redirect } from "./redirection.ts";

/** Bits per second; 0 is without limit. */
export interface RateLimits {
  readonly received: number;
  readonly sent: number;
}

export const NO_LIMITS: RateLimits = { received: 0, sent: 0 };

/** Where the packets of one direction can be held up. */
export interface LimitPoint {
  readonly link: LinkName;
  readonly direction: "leaving" | "entering";
}

/** Where those of a link's two directions can. */
export interface LimitPoints {
  readonly received: LimitPoint;
  readonly sent: LimitPoint;
}

/**
 * @param number of the link among the pod's, for the names of what is made.
 * @throws KataError `busy` if somebody limits the link already; `unavailable` if the kernel has no means.
 */
export async function limitRates(
  changes: NetworkChanges,
  points: LimitPoints,
  limits: RateLimits,
  number: number,
): Promise<void> {
  if (limits.received > 0) await limitAt(changes, points.received, limits.received, blockName(number));
  if (limits.sent > 0) await limitAt(changes, points.sent, limits.sent, blockName(number));
}

async function limitAt(
  changes: NetworkChanges,
  { link, direction }: LimitPoint,
  bitsPerSecond: number,
  name: string,
): Promise<void> {
  const { netlink } = changes.namespace;
  if (direction === "leaving") {
    await limitLeaving(changes, link, bitsPerSecond);
    return;
  }
  await changes.make({ kind: "made-link", name }, () => createLink(netlink, name, "ifb"));
  const block = linkByName(netlink, name);
  changes.namespace.bringUp(name, block.mtu);
  await limitLeaving(changes, block, bitsPerSecond);
  await redirect(changes, link, block);
}

async function limitLeaving(changes: NetworkChanges, link: LinkName, bitsPerSecond: number): Promise<void> {
  const bytes = Math.max(1, Math.floor(bitsPerSecond / 8));
  try {
    await changes.make({ kind: "egress-limit", link: link.index }, () =>
      limitEgress(changes.namespace.netlink, link.index, bytes, link.name),
    );
  } catch (error) {
    if (hasErrno(error, "EEXIST")) {
      throw new KataError("busy", {
        operation: "limit rate of",
        object: link.name,
        errno: error.errno,
        hint: "it has a queueing discipline already, see tc qdisc show; or set rx_rate_limiter_max_rate and tx_rate_limiter_max_rate to 0",
        cause: error,
      });
    }
    if (hasErrno(error, "ENOENT")) {
      throw new KataError("unavailable", {
        operation: "limit rate of",
        object: link.name,
        errno: error.errno,
        hint: "modprobe sch_tbf",
        cause: error,
      });
    }
    throw error;
  }
}
