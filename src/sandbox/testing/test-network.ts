/** A pod's network as a network plug-in makes it, for tests: a namespace with `eth0`, whose other end is in the caller's namespace. */
import { mkdirAll, O_RDONLY, open, removeTree } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { ownNamespacePath, persistNamespace, unpersistNamespace, unshare } from "../../sys/namespaces.ts";
import { addAddress } from "../../sys/netlink/addresses.ts";
import { AF_INET, AF_INET6, parseIpAddress } from "../../sys/netlink/ip-address.ts";
import {
  createMacvlan,
  createVethPair,
  deleteLink,
  linkByName,
  listLinks,
  moveLink,
  setLink,
} from "../../sys/netlink/links.ts";
import { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { replaceRoute } from "../../sys/netlink/routes.ts";
import { CLONE_NEWNET, getpid } from "../../sys/process.ts";

/** From the range for documentation: no machine's real network. Sources: RFC 5737, RFC 3849. */
export const HOST_ADDRESS = "198.51.100.1";
export const POD_ADDRESS = "198.51.100.2";
export const HOST_V6_ADDRESS = "2001:db8:51::1";
export const POD_V6_ADDRESS = "2001:db8:51::2";
const POD_LINK_LOCAL_ADDRESS = "fe80::ff:fe00:2";
export const POD_MAC = "02:00:00:00:00:02";
/** Unlike the default of 1500. Bytes. */
export const POD_MTU = 1400;
/** Of the default route, as an overlay network sets it. Bytes. */
export const POD_ROUTE_MTU = 1350;

let made = 0;

export interface TestNetwork extends Disposable {
  readonly path: string;
  /** A netlink socket in the pod's namespace. */
  readonly inside: NetlinkSocket;
  /** And one in the host's. */
  readonly outside: NetlinkSocket;
  readonly hostLink: string;
}

/**
 * Makes one; it is removed at the end of the scope. The caller is in mount and network namespaces of its own.
 *
 * @param kind of `eth0`; what is not a veth itself lies over one.
 */
export function testNetwork(kind: "veth" | "macvlan" | "macvtap" = "veth"): TestNetwork {
  const number = made++;
  const directory = `/tmp/kata-pod-test.${getpid()}.${number}`;
  const path = `${directory}/net`;
  const hostLink = `host${number}`;
  mkdirAll(directory);
  {
    using home = open(ownNamespacePath(CLONE_NEWNET), O_RDONLY);
    unshare(CLONE_NEWNET);
    using made = open(ownNamespacePath(CLONE_NEWNET), O_RDONLY);
    persistNamespace(made.fd, path);
    check(kernel().syscall("setns", home.fd, CLONE_NEWNET), "come back to", "test namespace");
  }
  using namespace = open(path, O_RDONLY);
  const outside = NetlinkSocket.open();
  const inside = NetlinkSocket.open(namespace.fd);
  if (kind === "veth") {
    createVethPair(outside, hostLink, "podlink");
  } else {
    const lower = `lower${number}`;
    createVethPair(outside, hostLink, lower);
    const { index } = linkByName(outside, lower);
    setLink(outside, index, lower, { mtu: POD_MTU, up: true });
    createMacvlan(outside, "podlink", kind, index);
  }
  moveLink(outside, linkByName(outside, "podlink").index, "podlink", namespace.fd);
  const eth0 = linkByName(inside, "podlink").index;
  setLink(inside, eth0, "podlink", { name: "eth0", mtu: POD_MTU, macAddress: POD_MAC });
  setLink(inside, eth0, "eth0", { up: true });
  setLink(outside, linkByName(outside, hostLink).index, hostLink, { mtu: POD_MTU, up: true });
  const address = (socket: NetlinkSocket, name: string, text: string) =>
    addAddress(socket, {
      linkIndex: linkByName(socket, name).index,
      address: parseIpAddress(text),
      prefixLength: 24,
    });
  address(outside, hostLink, HOST_ADDRESS);
  address(inside, "eth0", POD_ADDRESS);
  // The second is the one that the kernel makes by itself, at a time of its own.
  for (const text of [POD_V6_ADDRESS, POD_LINK_LOCAL_ADDRESS]) {
    addAddress(inside, { linkIndex: eth0, address: parseIpAddress(text), prefixLength: 64 });
  }
  replaceRoute(inside, {
    family: AF_INET,
    gateway: parseIpAddress(HOST_ADDRESS),
    linkIndex: eth0,
    mtu: POD_ROUTE_MTU,
  });
  addAddress(outside, {
    linkIndex: linkByName(outside, hostLink).index,
    address: parseIpAddress(HOST_V6_ADDRESS),
    prefixLength: 64,
  });
  replaceRoute(inside, {
    family: AF_INET6,
    gateway: parseIpAddress(HOST_V6_ADDRESS),
    linkIndex: eth0,
    priority: 512,
  });
  return {
    path,
    inside,
    outside,
    hostLink,
    [Symbol.dispose]() {
      // The kernel takes a namespace apart some time after its end: until then the next network's packets would go this way.
      const left = listLinks(outside).find(({ name }) => name === hostLink);
      if (left !== undefined) deleteLink(outside, left.index, hostLink);
      inside.close();
      outside.close();
      unpersistNamespace(path);
      removeTree(directory);
    },
  };
}
