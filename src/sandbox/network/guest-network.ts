/**
 * The pod's network as the guest's agent is told of it.
 * Sources: upstream Kata Containers, network of a sandbox; rtnetlink(7).
 */
import type { Address, Link, Neighbour, Route } from "./namespace-contents.ts";

/** Messages of the agent's protocol, package `types`. */
export interface GuestInterface {
  readonly device: string;
  readonly name: string;
  readonly IPAddresses: readonly GuestAddress[];
  readonly mtu: bigint;
  readonly hwAddr: string;
  /** `IFF_*` of netdevice(7); of these only `IFF_NOARP` means something to the guest. */
  readonly rawFlags: number;
}

export interface GuestAddress {
  readonly family: 0 | 1;
  readonly address: string;
  /** Prefix length. */
  readonly mask: string;
}

export interface GuestRoute {
  /** `10.0.0.0/8`; empty for the default route. */
  readonly dest: string;
  readonly gateway: string;
  readonly device: string;
  readonly source: string;
  readonly scope: number;
  readonly family: 0 | 1;
  readonly flags: number;
  /** Bytes; 0 for the link's. */
  readonly mtu: number;
  /** Of several to one destination the lowest counts. */
  readonly priority: number;
}

export interface GuestNeighbour {
  readonly toIPAddress: GuestAddress;
  readonly device: string;
  readonly lladdr: string;
  readonly state: number;
  readonly flags: number;
}

const V4 = 0;
const V6 = 1;
const RT_TABLE_MAIN = 254;
const RTN_UNICAST = 1;
/** The kernel makes these by itself when an address is added. */
const RTPROT_KERNEL = 2;
const NUD_PERMANENT = 0x80;
const IFF_NOARP = 0x80;

/** The interface that stands for `link`, with its addresses; link-local ones the guest makes by itself. */
export function guestInterface(link: Link, addresses: readonly Address[]): GuestInterface {
  return {
    device: link.name,
    name: link.name,
    IPAddresses: addresses
      .filter((address) => address.linkIndex === link.index && !isLinkLocal(address.address))
      .map(({ address, prefixLength }) => ({
        family: familyOf(address),
        address,
        mask: String(prefixLength),
      })),
    mtu: BigInt(link.mtu),
    hwAddr: link.macAddress,
    rawFlags: link.flags & IFF_NOARP,
  };
}

/** The routes over `links`, those without a gateway first: a gateway must be reachable when it is named. */
export function guestRoutes(links: readonly Link[], routes: readonly Route[]): GuestRoute[] {
  const result: GuestRoute[] = [];
  for (const route of routes) {
    const link = links.find(({ index }) => index === route.linkIndex);
    if (link === undefined || route.table !== RT_TABLE_MAIN || route.type !== RTN_UNICAST) continue;
    if (route.protocol === RTPROT_KERNEL || isLinkLocal(route.destination)) continue;
    result.push({
      dest: route.destination,
      gateway: route.gateway,
      device: link.name,
      source: route.preferredSource,
      scope: route.scope,
      family: route.family === 4 ? V4 : V6,
      flags: route.flags,
      // Overlays set it below the link's: packets that are too large would be lost or cut up on their way.
      mtu: route.mtu,
      priority: route.priority,
    });
  }
  return result.sort((a, b) => Number(a.gateway !== "") - Number(b.gateway !== ""));
}

/** The neighbours that an administrator or plug-in has set for good. */
export function guestNeighbours(links: readonly Link[], neighbours: readonly Neighbour[]): GuestNeighbour[] {
  const result: GuestNeighbour[] = [];
  for (const { linkIndex, address, macAddress, state, flags } of neighbours) {
    const link = links.find(({ index }) => index === linkIndex);
    if (link === undefined || (state & NUD_PERMANENT) === 0 || macAddress === "") continue;
    result.push({
      toIPAddress: { family: familyOf(address), address, mask: "" },
      device: link.name,
      lladdr: macAddress,
      state,
      flags,
    });
  }
  return result;
}

function familyOf(address: string): 0 | 1 {
  return address.includes(":") ? V6 : V4;
}

/** fe80::/10 */
function isLinkLocal(address: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(address);
}
