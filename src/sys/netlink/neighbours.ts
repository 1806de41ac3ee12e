/** Neighbours: the hardware addresses of hosts on a link (ARP, NDP). Source: rtnetlink(7), linux/neighbour.h. */
import { attribute, structure } from "./attribute.ts";
import { familyOf, formatIpAddress, formatMacAddress } from "./ip-address.ts";
import { NLM_F_CREATE, NLM_F_REPLACE, splitBody } from "./message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;

/** struct ndmsg: family u8, padding u8 and u16, index i32, state u16, flags u8, type u8. */
const NDMSG_BYTES = 12;

const NDA_DST = 1;
const NDA_LLADDR = 2;

/** Set for good by somebody. */
export const NUD_PERMANENT = 0x80;

export interface Neighbour {
  readonly linkIndex: number;
  readonly address: string;
  /** Empty if it is not known. */
  readonly macAddress: string;
  /** `NUD_*` */
  readonly state: number;
  /** `NTF_*` */
  readonly flags: number;
}

/** All neighbours of the socket's namespace, of both families. */
export function listNeighbours(socket: NetlinkSocket): Neighbour[] {
  const names = { operation: "list", object: "neighbours" };
  return socket.list(names, RTM_GETNEIGH, [new Uint8Array(NDMSG_BYTES)], (message): Neighbour | undefined => {
    if (message.type !== RTM_NEWNEIGH) return undefined;
    const { fixed, attributes } = splitBody(message, NDMSG_BYTES);
    const address = formatIpAddress(attributes.bytes(NDA_DST) ?? new Uint8Array(0));
    // Bridges list their forwarding table here as well; it has no IP addresses.
    if (address === "") return undefined;
    return {
      linkIndex: fixed.getInt32(4, true),
      address,
      macAddress: formatMacAddress(attributes.bytes(NDA_LLADDR) ?? new Uint8Array(0)),
      state: fixed.getUint16(8, true),
      flags: fixed.getUint8(10),
    };
  });
}

export interface NewNeighbour {
  readonly linkIndex: number;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly macAddress: Uint8Array;
  /** `NUD_*` */
  readonly state: number;
  /** `NTF_*` */
  readonly flags: number;
}

/** Adds a neighbour, or changes the one with the same address. */
export function replaceNeighbour(socket: NetlinkSocket, neighbour: NewNeighbour): void {
  const header = structure(NDMSG_BYTES, (view) => {
    view.setUint8(0, familyOf(neighbour.address));
    view.setInt32(4, neighbour.linkIndex, true);
    view.setUint16(8, neighbour.state, true);
    view.setUint8(10, neighbour.flags);
  });
  const body = [header, attribute(NDA_DST, neighbour.address), attribute(NDA_LLADDR, neighbour.macAddress)];
  const names = { operation: "add neighbour", object: formatIpAddress(neighbour.address) };
  socket.change(names, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body);
}
