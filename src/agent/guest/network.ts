/**
 * The guest's network: interfaces, routes and neighbours as the host tells them.
 * Sources: upstream's agent protocol (UpdateInterface, UpdateRoutes, AddARPNeighbors); rtnetlink(7).
 */
import { KataError } from "../../kata-error.ts";
import { type Address, addAddress, deleteAddress, listAddresses } from "../../sys/netlink/addresses.ts";
import {
  AF_INET,
  AF_INET6,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
  parsePrefixLength,
} from "../../sys/netlink/ip-address.ts";
import { checkLinkName, type Link, type LinkChange, listLinks, setLink } from "../../sys/netlink/links.ts";
import { NUD_PERMANENT, replaceNeighbour } from "../../sys/netlink/neighbours.ts";
import { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import {
  deleteRoute,
  listRoutes,
  type NewRoute,
  type Route,
  RT_TABLE_MAIN,
  RTN_UNICAST,
  RTNH_F_ONLINK,
  RTPROT_KERNEL,
  replaceRoute,
} from "../../sys/netlink/routes.ts";
import { awaitDevice } from "../device/await-device.ts";

export interface GuestInterface {
  /** The name that the interface has now, for one whose hardware address is to be changed. */
  readonly device: string;
  /** The name that it is to have. */
  readonly name: string;
  readonly macAddress: string;
  /** Bytes; 0 to leave it. */
  readonly mtu: number;
  readonly addresses: readonly GuestAddress[];
  /** Whether it resolves addresses by ARP. */
  readonly arp: boolean;
}

export interface GuestAddress {
  readonly address: string;
  /** Prefix length. */
  readonly mask: string;
}

export interface GuestRoute {
  /** `10.0.0.0/8`; empty or `default` for the default route. */
  readonly destination: string;
  readonly gateway: string;
  readonly device: string;
  readonly source: string;
  readonly scope: number;
  readonly family: 4 | 6;
  /** `RTNH_F_*` */
  readonly flags: number;
  /** Bytes; 0 for the interface's. */
  readonly mtu: number;
  /** Of several to one destination the lowest counts. */
  readonly priority: number;
}

export interface GuestNeighbour {
  readonly address: string;
  readonly device: string;
  readonly macAddress: string;
  /** `NUD_*`; 0 for a permanent one. */
  readonly state: number;
  readonly flags: number;
}

/** Most addresses, routes or neighbours of one request: more than any pod has. */
const MAX_ENTRIES = 4096;
const MAX_MTU = 65_535;

function checkCount(what: string, count: number): void {
  if (count <= MAX_ENTRIES) return;
  throw new KataError("invalid-argument", {
    operation: "set up network",
    object: `${count} ${what}`,
    hint: `at most ${MAX_ENTRIES} are taken`,
  });
}

/**
 * Makes the interface with the hardware address what the host wants; where none has it, the one with the name gets it.
 *
 * @param timeoutMs longest wait for an interface that is being plugged in.
 * @throws KataError `deadline-exceeded` if it does not come; `invalid-argument` for what is no address.
 */
export async function updateInterface(wanted: GuestInterface, timeoutMs: number): Promise<void> {
  checkCount("addresses", wanted.addresses.length);
  const name = checkLinkName(wanted.name === "" ? wanted.device : wanted.name);
  parseMacAddress(wanted.macAddress);
  if (wanted.mtu < 0 || wanted.mtu > MAX_MTU) {
    throw new KataError("invalid-argument", { operation: "set MTU of", object: `${name} to ${wanted.mtu}` });
  }
  const addresses = wanted.addresses.map(({ address, mask }) => {
    const bytes = parseIpAddress(address);
    return { address: bytes, prefixLength: parsePrefixLength(mask, bytes) };
  });
  using socket = NetlinkSocket.open();
  const link = await awaitDevice(`network interface ${wanted.macAddress}`, timeoutMs, () =>
    findLink(listLinks(socket), wanted),
  );
  freeName(socket, name, link.index);
  const rename = link.name === name ? {} : { name };
  const move = sameMac(link.macAddress, wanted.macAddress) ? {} : { macAddress: wanted.macAddress };
  const identity: LinkChange = { ...rename, ...move };
  // Drivers want to be down for a new name or address.
  if (Object.keys(identity).length > 0 && link.up) setLink(socket, link.index, link.name, { up: false });
  if (Object.keys(identity).length > 0) setLink(socket, link.index, link.name, identity);
  const mtu = wanted.mtu === 0 ? {} : { mtu: wanted.mtu };
  setLink(socket, link.index, name, { ...mtu, arp: wanted.arp, up: true });
  for (const old of listAddresses(socket)) {
    if (old.linkIndex === link.index && !isKept(old, addresses)) removeAddress(socket, old);
  }
  for (const address of addresses) addAddress(socket, { linkIndex: link.index, ...address });
}

/** The one with the hardware address, or the one that is to get it, which has the name. */
export function findLink(
  links: readonly Link[],
  { macAddress, device, name }: Pick<GuestInterface, "macAddress" | "device" | "name">,
): Link | undefined {
  const candidates = links.filter(({ loopback }) => !loopback);
  return (
    candidates.find((link) => sameMac(link.macAddress, macAddress)) ??
    candidates.find((link) => link.name === device) ??
    candidates.find((link) => link.name === name)
  );
}

function sameMac(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/**
 * Another interface that has the name by the order of discovery loses it; its own update gives it the right one.
 *
 * @param owner index of the interface that the name is for, if it is among them.
 */
export function freeName(socket: NetlinkSocket, name: string, owner?: number): void {
  const other = listLinks(socket).find((one) => one.name === name && one.index !== owner);
  if (other === undefined) return;
  if (other.up) setLink(socket, other.index, other.name, { up: false });
  setLink(socket, other.index, other.name, { name: `moved${other.index}` });
}

const RT_SCOPE_LINK = 253;
/** Source: Linux, IP6_RT_PRIO_USER. */
const IPV6_DEFAULT_PRIORITY = 1024;

/** The kernel's own link-local address stays as well. */
function isKept(
  old: Address,
  wanted: readonly { readonly address: Uint8Array; readonly prefixLength: number }[],
): boolean {
  if (old.scope === RT_SCOPE_LINK) return true;
  const bytes = parseIpAddress(old.address);
  return wanted.some(
    ({ address, prefixLength }) =>
      prefixLength === old.prefixLength &&
      address.length === bytes.length &&
      address.every((byte, index) => byte === bytes[index]),
  );
}

/** Takes an address from the interface that has it. */
export function removeAddress(socket: NetlinkSocket, { linkIndex, address, prefixLength }: Address): void {
  deleteAddress(socket, { linkIndex, address: parseIpAddress(address), prefixLength });
}

/** An interface as it is. */
export interface PresentInterface {
  readonly link: Link;
  readonly addresses: readonly Address[];
}

export function listInterfaces(): PresentInterface[] {
  using socket = NetlinkSocket.open();
  const addresses = listAddresses(socket);
  return listLinks(socket).map((link) => ({
    link,
    addresses: addresses.filter(({ linkIndex }) => linkIndex === link.index),
  }));
}

/** A route of the main table, with the name of its interface. */
export interface PresentRoute {
  readonly route: Route;
  readonly device: string;
}

/** The routes of the main table that are not the kernel's own. */
export function listGuestRoutes(): PresentRoute[] {
  using socket = NetlinkSocket.open();
  return presentRoutes(socket);
}

function presentRoutes(socket: NetlinkSocket): PresentRoute[] {
  const links = listLinks(socket);
  return listRoutes(socket).flatMap((route) => {
    const link = links.find(({ index }) => index === route.linkIndex);
    const isOurs =
      route.table === RT_TABLE_MAIN && route.type === RTN_UNICAST && route.protocol !== RTPROT_KERNEL;
    return link === undefined || link.loopback || !isOurs ? [] : [{ route, device: link.name }];
  });
}

/** Makes the routes of the main table those of `routes`, in addition to the kernel's own. */
export function updateRoutes(routes: readonly GuestRoute[]): void {
  checkCount("routes", routes.length);
  using socket = NetlinkSocket.open();
  const links = listLinks(socket);
  const wanted = routes.map((route) => parseRoute(route, links));
  // A gateway can only be named when there is a route to it.
  wanted.sort((a, b) => Number(a.gateway !== undefined) - Number(b.gateway !== undefined));
  for (const { route } of presentRoutes(socket)) {
    const old = fromPresent(route);
    if (!wanted.some((one) => sameDestination(one, old))) deleteRoute(socket, old);
  }
  for (const route of wanted) replaceRoute(socket, route);
}

function parseRoute(route: GuestRoute, links: readonly Link[]): NewRoute {
  const link = links.find(({ name }) => name === route.device);
  if (link === undefined) {
    throw new KataError("not-found", {
      operation: "add route",
      object: `over ${JSON.stringify(route.device.slice(0, 32))}`,
      hint: "the guest has no such interface",
    });
  }
  const prefix =
    route.destination === "" || route.destination === "default"
      ? undefined
      : parseIpPrefix(route.destination);
  return {
    family: route.family === 4 ? AF_INET : AF_INET6,
    // A prefix of no bits is the default route.
    destination: prefix === undefined || prefix.length === 0 ? undefined : prefix,
    gateway: route.gateway === "" ? undefined : parseIpAddress(route.gateway),
    preferredSource: route.source === "" ? undefined : parseIpAddress(route.source),
    linkIndex: link.index,
    scope: route.scope,
    // The others tell of a state and are refused.
    flags: route.flags & RTNH_F_ONLINK,
    mtu: route.mtu,
    priority: route.priority,
  };
}

function fromPresent({ family, destination, gateway, linkIndex, scope, priority }: Route): NewRoute {
  return {
    family: family === 4 ? AF_INET : AF_INET6,
    destination: destination === "" ? undefined : parseIpPrefix(destination),
    gateway: gateway === "" ? undefined : parseIpAddress(gateway),
    linkIndex,
    scope,
    priority,
  };
}

/** As the kernel lists it: IPv6 has 1024 for one that was given none. */
function priorityOf({ family, priority = 0 }: NewRoute): number {
  return family === AF_INET6 && priority === 0 ? IPV6_DEFAULT_PRIORITY : priority;
}

function sameDestination(a: NewRoute, b: NewRoute): boolean {
  const text = ({ family, destination }: NewRoute) =>
    `${family} ${destination?.length ?? 0} ${destination?.address.join() ?? ""}`;
  return a.linkIndex === b.linkIndex && priorityOf(a) === priorityOf(b) && text(a) === text(b);
}

/** Adds neighbours for good. */
export function addNeighbours(neighbours: readonly GuestNeighbour[]): void {
  checkCount("neighbours", neighbours.length);
  using socket = NetlinkSocket.open();
  const links = listLinks(socket);
  for (const { address, device, macAddress, state, flags } of neighbours) {
    const link = links.find(({ name }) => name === device);
    if (link === undefined) {
      throw new KataError("not-found", { operation: "add neighbour on", object: JSON.stringify(device) });
    }
    replaceNeighbour(socket, {
      linkIndex: link.index,
      address: parseIpAddress(address),
      macAddress: parseMacAddress(macAddress),
      state: state === 0 ? NUD_PERMANENT : state,
      flags,
    });
  }
}
