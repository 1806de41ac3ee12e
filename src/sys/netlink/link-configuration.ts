/**
 * What is configured on an interface, taken away for a time and given back as it was.
 *
 * Kept are the kernel's own messages, so that nothing of them is lost: lifetimes, labels, scopes, metrics, next hops.
 * Sources: rtnetlink(7), linux/if_addr.h, linux/rtnetlink.h.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { deleteAddress, listAddresses } from "./addresses.ts";
import { AttributeMap, concatenate, u32Attribute } from "./attribute.ts";
import { AF_INET, AF_INET6, formatIpAddress, parseIpAddress } from "./ip-address.ts";
import { type NetlinkMessage, NLM_F_CREATE, NLM_F_REPLACE } from "./message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";
import { RTNH_F_ONLINK, RTPROT_KERNEL } from "./routes.ts";

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;

const IFADDRMSG_BYTES = 8;
const RTMSG_BYTES = 12;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTM_F_CLONED = 0x200;
const RT_TABLE_LOCAL = 255;
/** Most messages that are kept of one interface. */
const MAX_MESSAGES = 4096;

/** A message that makes an address or a route, without its netlink header. */
export interface SavedSetting {
  readonly what: "address" | "route";
  readonly message: Uint8Array;
}

/** The addresses of interface `index`, and the routes over it that the kernel did not make by itself. */
export function saveConfiguration(socket: NetlinkSocket, index: number, shown: string): SavedSetting[] {
  const settings = [...saveAddresses(socket, index, shown), ...saveRoutes(socket, index, shown)];
  if (settings.length <= MAX_MESSAGES) return settings;
  throw new KataError("resource-exhausted", {
    operation: "save configuration of",
    object: `${shown} with ${settings.length} addresses and routes`,
    hint: `at most ${MAX_MESSAGES} are kept`,
  });
}

function saveAddresses(socket: NetlinkSocket, index: number, shown: string): SavedSetting[] {
  const names = { operation: "save addresses of", object: shown };
  return socket.list(names, RTM_GETADDR, [new Uint8Array(IFADDRMSG_BYTES)], ({ type, body }) => {
    if (type !== RTM_NEWADDR || body.length < IFADDRMSG_BYTES) return undefined;
    if (viewOf(body).getUint32(4, true) !== index) return undefined;
    return { what: "address", message: body.slice() };
  });
}

function saveRoutes(socket: NetlinkSocket, index: number, shown: string): SavedSetting[] {
  const names = { operation: "save routes over", object: shown };
  const saved = [AF_INET, AF_INET6].flatMap((family) => {
    const request = new Uint8Array(RTMSG_BYTES);
    request[0] = family;
    return socket.list(names, RTM_GETROUTE, [request], (message) => ownRoute(message, family, index));
  });
  // What has no gateway first: a gateway must be reachable when it is named.
  return saved
    .sort((a, b) => Number(a.gateway) - Number(b.gateway))
    .map(({ message }) => ({ what: "route", message }));
}

function ownRoute(
  { type, body }: NetlinkMessage,
  family: number,
  index: number,
): { readonly gateway: boolean; readonly message: Uint8Array } | undefined {
  if (type !== RTM_NEWROUTE || body.length < RTMSG_BYTES || body[0] !== family) return undefined;
  const view = viewOf(body);
  if ((view.getUint32(8, true) & RTM_F_CLONED) !== 0) return undefined;
  if (body[4] === RT_TABLE_LOCAL || body[5] === RTPROT_KERNEL) return undefined;
  const attributes = new AttributeMap(body.subarray(RTMSG_BYTES));
  if (attributes.u32(RTA_OIF) !== index) return undefined;
  const message = body.slice();
  // The others tell of a state and are refused.
  viewOf(message).setUint32(8, view.getUint32(8, true) & RTNH_F_ONLINK, true);
  return { gateway: attributes.bytes(RTA_GATEWAY) !== undefined, message };
}

/** Removes the saved addresses from their interface; the kernel takes the routes that need them. */
export function removeSavedAddresses(
  socket: NetlinkSocket,
  saved: readonly SavedSetting[],
  shown: string,
): void {
  for (const { what, message } of saved) {
    if (what !== "address") continue;
    try {
      socket.change({ operation: "remove address from", object: shown }, RTM_DELADDR, 0, [message]);
    } catch (error) {
      // Somebody, or the end of its lifetime, was quicker.
      if (!hasErrno(error, "EADDRNOTAVAIL")) throw error;
    }
  }
}

const RT_SCOPE_LINK = 253;

/** Removes the link-local addresses that the kernel has made of another hardware address since. */
export function removeOthersOfLink(
  socket: NetlinkSocket,
  index: number,
  saved: readonly SavedSetting[],
): void {
  const kept = saved.filter(({ what }) => what === "address").map(({ message }) => addressIn(message));
  for (const { linkIndex, address, prefixLength, scope } of listAddresses(socket)) {
    if (linkIndex !== index || scope !== RT_SCOPE_LINK || kept.includes(address)) continue;
    try {
      deleteAddress(socket, { linkIndex, address: parseIpAddress(address), prefixLength });
    } catch (error) {
      if (!hasErrno(error, "EADDRNOTAVAIL")) throw error;
    }
  }
}

function addressIn(message: Uint8Array): string {
  const IFA_ADDRESS = 1;
  const IFA_LOCAL = 2;
  const attributes = new AttributeMap(message.subarray(IFADDRMSG_BYTES));
  const bytes = attributes.bytes(IFA_LOCAL) ?? attributes.bytes(IFA_ADDRESS);
  return formatIpAddress(bytes ?? new Uint8Array(0));
}

/** Gives everything back. What is there already stays. */
export function restoreConfiguration(
  socket: NetlinkSocket,
  saved: readonly SavedSetting[],
  shown: string,
): void {
  for (const { what, message } of saved) {
    const names = { operation: `give back ${what} of`, object: shown };
    const type = what === "address" ? RTM_NEWADDR : RTM_NEWROUTE;
    const body = what === "address" ? usableAtOnce(message) : message;
    socket.change(names, type, NLM_F_CREATE | NLM_F_REPLACE, [body]);
  }
}

/** The address without a search for others that have it: it was this interface's before. */
function usableAtOnce(message: Uint8Array): Uint8Array {
  if (message[0] !== AF_INET6) return message;
  const attributes = new AttributeMap(message.subarray(IFADDRMSG_BYTES));
  const flags = attributes.u32(IFA_FLAGS) ?? message[2] ?? 0;
  // Of two attributes of one type the last counts.
  return concatenate([message, u32Attribute(IFA_FLAGS, flags | IFA_F_NODAD)]);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
