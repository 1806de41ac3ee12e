/** Routes. Source: rtnetlink(7), linux/rtnetlink.h. */
import { attribute, type Encoded, structure, u32Attribute } from "./attribute.ts";
import { AF_INET, AF_INET6, familyOf, formatIpAddress, type IpPrefix } from "./ip-address.ts";
import { NLM_F_CREATE, NLM_F_REPLACE, splitBody } from "./message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

/**
 * struct rtmsg: family, destination length, source length, tos, table, protocol, scope, type: u8 each; flags u32.
 */
const RTMSG_BYTES = 12;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_TABLE = 15;
const RTAX_MTU = 2;

export const RT_TABLE_MAIN = 254;
export const RT_SCOPE_UNIVERSE = 0;
export const RTN_UNICAST = 1;
/** Made by the kernel, by itself, when an address was added. */
export const RTPROT_KERNEL = 2;
export const RTPROT_BOOT = 3;
/** The list entry is a cached copy of a route. */
const RTM_F_CLONED = 0x200;
/** The gateway is taken to be on the link. */
export const RTNH_F_ONLINK = 4;

export interface Route {
  readonly family: 4 | 6;
  /** `10.0.0.0/8`; empty for the default route. */
  readonly destination: string;
  readonly gateway: string;
  readonly preferredSource: string;
  /** 0 for a route over no single interface. */
  readonly linkIndex: number;
  readonly table: number;
  /** `RTN_*` */
  readonly type: number;
  /** `RTPROT_*` */
  readonly protocol: number;
  /** `RT_SCOPE_*` */
  readonly scope: number;
  /** `RTNH_F_*` */
  readonly flags: number;
  readonly priority: number;
  /** Bytes; 0 if the route sets none. */
  readonly mtu: number;
}

/** All routes of the socket's namespace, of both families and all tables. */
export function listRoutes(socket: NetlinkSocket): Route[] {
  return [AF_INET, AF_INET6].flatMap((family) => listFamily(socket, family));
}

function listFamily(socket: NetlinkSocket, family: number): Route[] {
  const names = { operation: "list", object: "routes" };
  const body = [structure(RTMSG_BYTES, (view) => view.setUint8(0, family))];
  return socket.list(names, RTM_GETROUTE, body, (message): Route | undefined => {
    if (message.type !== RTM_NEWROUTE) return undefined;
    const { fixed, attributes } = splitBody(message, RTMSG_BYTES);
    const flags = fixed.getUint32(8, true);
    // A kernel without the family answers with another one's routes.
    if (fixed.getUint8(0) !== family || (flags & RTM_F_CLONED) !== 0) return undefined;
    const length = fixed.getUint8(1);
    const destination = attributes.bytes(RTA_DST);
    return {
      family: family === AF_INET ? 4 : 6,
      destination: destination === undefined ? "" : `${formatIpAddress(destination)}/${length}`,
      gateway: formatIpAddress(attributes.bytes(RTA_GATEWAY) ?? new Uint8Array(0)),
      preferredSource: formatIpAddress(attributes.bytes(RTA_PREFSRC) ?? new Uint8Array(0)),
      linkIndex: attributes.u32(RTA_OIF) ?? 0,
      table: attributes.u32(RTA_TABLE) ?? fixed.getUint8(4),
      type: fixed.getUint8(7),
      protocol: fixed.getUint8(5),
      scope: fixed.getUint8(6),
      flags,
      priority: attributes.u32(RTA_PRIORITY) ?? 0,
      mtu: attributes.nested(RTA_METRICS).u32(RTAX_MTU) ?? 0,
    };
  });
}

export interface NewRoute {
  /** Undefined for the default route; `family` tells which then. */
  readonly destination?: IpPrefix | undefined;
  /** `AF_INET` or `AF_INET6`. */
  readonly family: number;
  readonly gateway?: Uint8Array | undefined;
  readonly preferredSource?: Uint8Array | undefined;
  readonly linkIndex: number;
  /** `RT_SCOPE_*` */
  readonly scope?: number | undefined;
  /** `RTNH_F_*` */
  readonly flags?: number | undefined;
  /** Bytes. */
  readonly mtu?: number | undefined;
  /** Of several to one destination the lowest counts; 0 and undefined leave it to the kernel. */
  readonly priority?: number | undefined;
}

function encodeRoute(route: NewRoute): Encoded[] {
  const { destination, gateway, preferredSource, mtu, priority } = route;
  const body = [
    structure(RTMSG_BYTES, (view) => {
      view.setUint8(0, route.family);
      view.setUint8(1, destination?.length ?? 0);
      view.setUint8(4, RT_TABLE_MAIN);
      view.setUint8(5, RTPROT_BOOT);
      view.setUint8(6, route.scope ?? RT_SCOPE_UNIVERSE);
      view.setUint8(7, RTN_UNICAST);
      view.setUint32(8, route.flags ?? 0, true);
    }),
    u32Attribute(RTA_OIF, route.linkIndex),
  ];
  if (destination !== undefined) body.push(attribute(RTA_DST, destination.address));
  if (gateway !== undefined) body.push(attribute(RTA_GATEWAY, gateway));
  if (preferredSource !== undefined) body.push(attribute(RTA_PREFSRC, preferredSource));
  if (priority !== undefined && priority > 0) body.push(u32Attribute(RTA_PRIORITY, priority));
  if (mtu !== undefined && mtu > 0) body.push(attribute(RTA_METRICS, u32Attribute(RTAX_MTU, mtu)));
  return body;
}

function showRoute({ destination, gateway }: NewRoute): string {
  const to = destination === undefined ? "default" : formatIpAddress(destination.address);
  const length = destination === undefined ? "" : `/${destination.length}`;
  return `${to}${length}${gateway === undefined ? "" : ` via ${formatIpAddress(gateway)}`}`;
}

/** Adds a route to the main table, or changes the one to the same destination. */
export function replaceRoute(socket: NetlinkSocket, route: NewRoute): void {
  const names = { operation: "add route", object: showRoute(route) };
  socket.change(names, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, encodeRoute(route));
}

/** Removes a route from the main table. @throws KataError `system-call` with ESRCH if there is none. */
export function deleteRoute(socket: NetlinkSocket, route: NewRoute): void {
  // Whoever made it, and of whatever scope.
  const [header = new Uint8Array(RTMSG_BYTES), ...attributes] = encodeRoute(route);
  const RT_SCOPE_NOWHERE = 255;
  header[5] = 0;
  header[6] = route.scope ?? RT_SCOPE_NOWHERE;
  header[7] = 0;
  const names = { operation: "remove route", object: showRoute(route) };
  socket.change(names, RTM_DELROUTE, 0, [header, ...attributes]);
}

/** The family of a route that has an address anywhere; IPv4 otherwise. */
export function routeFamily(...addresses: readonly (Uint8Array | undefined)[]): number {
  const found = addresses.find((address) => address !== undefined);
  return found === undefined ? AF_INET : familyOf(found);
}
