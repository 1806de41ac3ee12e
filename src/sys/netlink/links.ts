/** Network interfaces. Source: rtnetlink(7), linux/if_link.h. */
import { KataError } from "../../kata-error.ts";
import {
  type AttributeMap,
  attribute,
  type Encoded,
  nestedAttribute,
  structure,
  textAttribute,
  u32Attribute,
} from "./attribute.ts";
import { formatMacAddress, parseMacAddress } from "./ip-address.ts";
import { type NetlinkMessage, NLM_F_CREATE, NLM_F_EXCL, splitBody } from "./message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;

/** struct ifinfomsg: family u8, padding u8, type u16, index i32, flags u32, change u32. */
const IFINFOMSG_BYTES = 16;

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_NOARP = 0x80;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_EXT_MASK = 29;
const IFLA_CARRIER = 33;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
/** Attributes of kind `tun`. */
const IFLA_TUN_TYPE = 3;
const IFLA_TUN_PI = 4;
const IFLA_TUN_VNET_HDR = 5;
const IFLA_TUN_MULTI_QUEUE = 7;
/** Type of a tun device that carries Ethernet frames. Source: linux/if_tun.h, IFF_TAP. */
const TUN_TYPE_TAP = 2;
/** Counters, which nobody here reads, are left out. */
const RTEXT_FILTER_SKIP_STATS = 8;

/** Longest name, bytes without NUL. */
const MAX_NAME_BYTES = 15;

export interface Link {
  readonly index: number;
  readonly name: string;
  /** `veth`, `macvlan`, …; empty for a device without a kind. */
  readonly kind: string;
  readonly loopback: boolean;
  readonly up: boolean;
  /** `02:00:00:00:00:01`; empty if it has none. */
  readonly macAddress: string;
  /** Bytes. */
  readonly mtu: number;
  /** `IFF_*` of netdevice(7). */
  readonly flags: number;
  /** Of an interface of kind `tun`. */
  readonly tun?: TunFacts;
}

/** What a tun device is. Whoever opens it has to ask for the same. */
export interface TunFacts {
  /** `tap` carries Ethernet frames, `tun` IP packets. */
  readonly mode: "tap" | "tun";
  readonly multiQueue: boolean;
  /** Frames have a header for what is left to the other side: checksums, segmentation. */
  readonly vnetHeader: boolean;
  /** Frames have a header with their protocol. */
  readonly packetInfo: boolean;
  /** Whether a program has it open. */
  readonly attached: boolean;
}

function header(index: number, flags = 0, change = 0): Encoded {
  return structure(IFINFOMSG_BYTES, (view) => {
    view.setInt32(4, index, true);
    view.setUint32(8, flags, true);
    view.setUint32(12, change, true);
  });
}

function parseLink(message: NetlinkMessage): Link | undefined {
  if (message.type !== RTM_NEWLINK) return undefined;
  const { fixed, attributes } = splitBody(message, IFINFOMSG_BYTES);
  const flags = fixed.getUint32(8, true);
  const info = attributes.nested(IFLA_LINKINFO);
  const kind = info.text(IFLA_INFO_KIND) ?? "";
  const attached = attributes.u8(IFLA_CARRIER) === 1;
  return {
    index: fixed.getInt32(4, true),
    name: attributes.text(IFLA_IFNAME) ?? "",
    kind,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    up: (flags & IFF_UP) !== 0,
    macAddress: formatMacAddress(attributes.bytes(IFLA_ADDRESS) ?? new Uint8Array(0)),
    mtu: attributes.u32(IFLA_MTU) ?? 0,
    flags,
    ...(kind === "tun" ? { tun: tunFacts(info.nested(IFLA_INFO_DATA), attached) } : {}),
  };
}

function tunFacts(data: AttributeMap, attached: boolean): TunFacts {
  return {
    mode: data.u8(IFLA_TUN_TYPE) === TUN_TYPE_TAP ? "tap" : "tun",
    multiQueue: data.u8(IFLA_TUN_MULTI_QUEUE) === 1,
    vnetHeader: data.u8(IFLA_TUN_VNET_HDR) === 1,
    packetInfo: data.u8(IFLA_TUN_PI) === 1,
    attached,
  };
}

/** All interfaces of the socket's namespace, by index. */
export function listLinks(socket: NetlinkSocket): Link[] {
  const names = { operation: "list", object: "network interfaces" };
  const body = [header(0), u32Attribute(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)];
  return socket.list(names, RTM_GETLINK, body, parseLink);
}

/** The interface `name`. @throws KataError `system-call` with ENODEV if there is none. */
export function linkByName(socket: NetlinkSocket, name: string): Link {
  const body = [
    header(0),
    textAttribute(IFLA_IFNAME, checkLinkName(name)),
    u32Attribute(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS),
  ];
  const link = parseLink(
    socket.get({ operation: "find network interface", object: name }, RTM_GETLINK, body),
  );
  if (link !== undefined) return link;
  throw new KataError("internal", { operation: "find network interface", object: name });
}

/** @throws KataError `invalid-argument` for a name that no interface can have. */
export function checkLinkName(name: string): string {
  if (/^[^\s/:\0]+$/.test(name) && name !== "." && name !== ".." && name.length <= MAX_NAME_BYTES)
    return name;
  throw new KataError("invalid-argument", {
    operation: "use network interface name",
    object: JSON.stringify(name.slice(0, 64)),
    hint: `it has 1 to ${MAX_NAME_BYTES} characters without space, '/' and ':'`,
  });
}

export interface LinkChange {
  readonly up?: boolean;
  /** Whether it resolves addresses by ARP. */
  readonly arp?: boolean;
  readonly name?: string;
  /** Bytes. */
  readonly mtu?: number;
  readonly macAddress?: string;
  /** Index of a bridge; 0 to leave it. */
  readonly master?: number;
}

/**
 * Changes an interface.
 *
 * @param shown its name, for messages.
 * @throws KataError `system-call`; EBUSY if it is up and the driver wants it down for a new name or address.
 */
export function setLink(socket: NetlinkSocket, index: number, shown: string, change: LinkChange): void {
  let flags = 0;
  let mask = 0;
  if (change.up !== undefined) {
    mask |= IFF_UP;
    if (change.up) flags |= IFF_UP;
  }
  if (change.arp !== undefined) {
    mask |= IFF_NOARP;
    if (!change.arp) flags |= IFF_NOARP;
  }
  const body = [header(index, flags, mask)];
  if (change.name !== undefined) body.push(textAttribute(IFLA_IFNAME, checkLinkName(change.name)));
  if (change.mtu !== undefined) body.push(u32Attribute(IFLA_MTU, change.mtu));
  if (change.macAddress !== undefined) body.push(attribute(IFLA_ADDRESS, parseMacAddress(change.macAddress)));
  if (change.master !== undefined) body.push(u32Attribute(IFLA_MASTER, change.master));
  socket.change({ operation: "change network interface", object: shown }, RTM_NEWLINK, 0, body);
}

/**
 * Makes an interface.
 *
 * @param kind `dummy`, `veth`, `bridge`, `macvtap`, …
 * @param data attributes of the kind (`IFLA_INFO_DATA`).
 * @param more further attributes of the link, like `IFLA_LINK`.
 */
export function createLink(
  socket: NetlinkSocket,
  name: string,
  kind: string,
  data: readonly Uint8Array[] = [],
  more: readonly Uint8Array[] = [],
): void {
  const info = [textAttribute(IFLA_INFO_KIND, kind)];
  if (data.length > 0) info.push(nestedAttribute(IFLA_INFO_DATA, data));
  const body = [
    header(0),
    textAttribute(IFLA_IFNAME, checkLinkName(name)),
    nestedAttribute(IFLA_LINKINFO, info),
    ...more,
  ];
  const names = { operation: `make ${kind} interface`, object: name };
  socket.change(names, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body);
}

/** Two connected interfaces, both in the socket's namespace. Source: linux/veth.h. */
export function createVethPair(socket: NetlinkSocket, name: string, peer: string): void {
  const VETH_INFO_PEER = 1;
  const description = [header(0), textAttribute(IFLA_IFNAME, checkLinkName(peer))];
  createLink(socket, name, "veth", [nestedAttribute(VETH_INFO_PEER, description)]);
}

/** `MACVLAN_MODE_*`: interfaces over the same one reach each other. Source: linux/if_link.h. */
const MACVLAN_MODE_BRIDGE = 4;

/**
 * Makes an interface over another one that has a hardware address of its own.
 *
 * @param kind `macvtap` has a character device instead of a way into the kernel.
 * @param lower index of the interface below.
 */
export function createMacvlan(
  socket: NetlinkSocket,
  name: string,
  kind: "macvlan" | "macvtap",
  lower: number,
): void {
  const IFLA_MACVLAN_MODE = 1;
  createLink(
    socket,
    name,
    kind,
    [u32Attribute(IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE)],
    [u32Attribute(IFLA_LINK, lower)],
  );
}

/** Moves an interface to another network namespace. @param namespace its descriptor. */
export function moveLink(socket: NetlinkSocket, index: number, shown: string, namespace: number): void {
  const IFLA_NET_NS_FD = 28;
  const body = [header(index), u32Attribute(IFLA_NET_NS_FD, namespace)];
  socket.change({ operation: "move network interface", object: shown }, RTM_NEWLINK, 0, body);
}

/** Removes an interface. */
export function deleteLink(socket: NetlinkSocket, index: number, shown: string): void {
  socket.change({ operation: "remove network interface", object: shown }, RTM_DELLINK, 0, [header(index)]);
}
