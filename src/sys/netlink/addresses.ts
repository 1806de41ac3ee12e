/** IP addresses of interfaces. Source: rtnetlink(7), linux/if_addr.h. */
import { attribute, type Encoded, structure } from "./attribute.ts";
import { AF_INET, familyOf, formatIpAddress } from "./ip-address.ts";
import { NLM_F_CREATE, NLM_F_REPLACE, splitBody } from "./message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

/** struct ifaddrmsg: family u8, prefix length u8, flags u8, scope u8, index u32. */
const IFADDRMSG_BYTES = 8;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
/** No duplicate address detection: the address is usable at once. */
const IFA_F_NODAD = 0x02;

export interface Address {
  readonly linkIndex: number;
  readonly address: string;
  /** Bits. */
  readonly prefixLength: number;
  /** `RT_SCOPE_*`: 0 universe, 253 link, 254 host. */
  readonly scope: number;
}

/** All addresses of the socket's namespace, of both families. */
export function listAddresses(socket: NetlinkSocket): Address[] {
  const names = { operation: "list", object: "IP addresses" };
  return socket.list(
    names,
    RTM_GETADDR,
    [new Uint8Array(IFADDRMSG_BYTES)],
    (message): Address | undefined => {
      if (message.type !== RTM_NEWADDR) return undefined;
      const { fixed, attributes } = splitBody(message, IFADDRMSG_BYTES);
      // On a point-to-point link IFA_ADDRESS is the other end's.
      const bytes = attributes.bytes(IFA_LOCAL) ?? attributes.bytes(IFA_ADDRESS);
      if (bytes === undefined) return undefined;
      return {
        linkIndex: fixed.getUint32(4, true),
        address: formatIpAddress(bytes),
        prefixLength: fixed.getUint8(1),
        scope: fixed.getUint8(3),
      };
    },
  );
}

export interface NewAddress {
  readonly linkIndex: number;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** Bits. */
  readonly prefixLength: number;
}

function encodeAddress({ linkIndex, address, prefixLength }: NewAddress): Encoded[] {
  const header = structure(IFADDRMSG_BYTES, (view) => {
    view.setUint8(0, familyOf(address));
    view.setUint8(1, prefixLength);
    view.setUint8(2, address.length === 4 ? 0 : IFA_F_NODAD);
    view.setUint32(4, linkIndex, true);
  });
  return [header, attribute(IFA_LOCAL, address), attribute(IFA_ADDRESS, address)];
}

/** Gives an interface an address; one that it has already is no error. */
export function addAddress(socket: NetlinkSocket, address: NewAddress): void {
  const body = encodeAddress(address);
  if (familyOf(address.address) === AF_INET && address.prefixLength < 31) {
    body.push(attribute(IFA_BROADCAST, broadcastOf(address)));
  }
  const names = { operation: "add IP address", object: showAddress(address) };
  socket.change(names, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body);
}

/** Takes an address from an interface. @throws KataError `system-call` with EADDRNOTAVAIL if it has not got it. */
export function deleteAddress(socket: NetlinkSocket, address: NewAddress): void {
  const names = { operation: "remove IP address", object: showAddress(address) };
  socket.change(names, RTM_DELADDR, 0, encodeAddress(address));
}

function showAddress({ address, prefixLength }: NewAddress): string {
  return `${formatIpAddress(address)}/${prefixLength}`;
}

/** The address with all bits of the host set. */
function broadcastOf({ address, prefixLength }: NewAddress): Uint8Array {
  const broadcast = address.slice();
  const view = new DataView(broadcast.buffer);
  view.setUint32(0, view.getUint32(0) | (0xffff_ffff >>> prefixLength));
  return broadcast;
}
