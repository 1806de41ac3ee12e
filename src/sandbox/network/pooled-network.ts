/**
 * The network of a pod whose machine was there before it: the card's tap moves from the namespace that it was made in to the pod's, with
 * the monitor holding it all the while.
 */
import { linkByName, moveLink } from "../../sys/netlink/links.ts";
import { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import type { LinkOptions } from "./attach-link.ts";
import { tapName } from "./card-names.ts";

/** What brings the tap of a machine's one card. @param from descriptor of the namespace that has it. */
export function tapBringer(from: number): NonNullable<LinkOptions["bringTap"]> {
  const tap = tapName(0);
  let isThere = true;
  return (namespace, name) => {
    if (!isThere || name !== tap) return false;
    isThere = false;
    using socket = NetlinkSocket.open(from);
    moveLink(socket, linkByName(socket, tap).index, tap, namespace.fd);
    return true;
  };
}
