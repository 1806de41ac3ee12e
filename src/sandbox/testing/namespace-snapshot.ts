/** What is in a network namespace, for comparing before and after. */
import { listAddresses } from "../../sys/netlink/addresses.ts";
import { listLinks } from "../../sys/netlink/links.ts";
import { listNeighbours, NUD_PERMANENT } from "../../sys/netlink/neighbours.ts";
import type { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { listRoutes, RTPROT_KERNEL } from "../../sys/netlink/routes.ts";
import { listDisciplines } from "../../sys/netlink/traffic-control.ts";
import { assertEqual } from "../../sys/testing/native-test.ts";

/** Follow the carrier: `IFF_RUNNING`, `IFF_LOWER_UP`, `RTNH_F_LINKDOWN`. */
const CARRIER_FLAGS = 0x40 | 0x1_0000;

/** All that can be seen of a namespace, which a network that is gone must have left as it was. */
export function snapshot(socket: NetlinkSocket): string[] {
  const lines = [
    ...listLinks(socket).map((link) => ({ ...link, flags: link.flags & ~CARRIER_FLAGS, tun: undefined })),
    ...listAddresses(socket),
    ...listRoutes(socket)
      .filter(({ protocol }) => protocol !== RTPROT_KERNEL)
      .map((route) => ({ ...route, flags: 0 })),
    ...listNeighbours(socket).filter(({ state }) => state === NUD_PERMANENT),
    ...listDisciplines(socket),
  ];
  // Not in the order in which the kernel has learnt of them.
  return lines.map((line) => JSON.stringify(line)).sort();
}

/** Fails with the lines that came or went. */
export function assertSame(now: readonly string[], before: readonly string[]): void {
  const came = now.filter((line) => !before.includes(line)).map((line) => `+ ${line}`);
  const went = before.filter((line) => !now.includes(line)).map((line) => `- ${line}`);
  assertEqual([...came, ...went], [], "what has changed in the namespace");
}
