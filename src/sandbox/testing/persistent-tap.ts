/** A tap that stays without a program, in a test's network. */
import { O_RDONLY, open, writeExisting } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { inNamespace } from "../../sys/namespaces.ts";
import { addAddress } from "../../sys/netlink/addresses.ts";
import { parseIpAddress } from "../../sys/netlink/ip-address.ts";
import { deleteLink, linkByName, setLink } from "../../sys/netlink/links.ts";
import { CLONE_NEWNET } from "../../sys/process.ts";
import { NetworkNamespace } from "../network/network-namespace.ts";
import { makeTap } from "../network/tap.ts";
import { HOST_ADDRESS, POD_MAC, POD_MTU, type TestNetwork } from "./test-network.ts";

const TUNSETPERSIST = 0x400454cb;

/** A tap in the pod's namespace that stays without a program, with the pod's addresses on it. */
export function persistentTap(made: TestNetwork, queues: number): void {
  deleteLink(made.inside, linkByName(made.inside, "eth0").index, "eth0");
  using namespace = NetworkNamespace.open(made.path);
  const opened = makeTap(namespace, "eth0", queues);
  check(kernel().syscall("ioctl", opened[0]?.fd ?? -1, TUNSETPERSIST, 1), "keep", "eth0");
  for (const each of opened) each.close();
  const { index } = linkByName(made.inside, "eth0");
  setLink(made.inside, index, "eth0", { macAddress: POD_MAC, mtu: POD_MTU });
  // The kernel gives itself an address as soon as there is a carrier.
  insideOf(made.path, () => writeExisting("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1"));
  setLink(made.inside, index, "eth0", { up: true });
  addAddress(made.inside, { linkIndex: index, address: parseIpAddress(HOST_ADDRESS), prefixLength: 24 });
}

/** Runs `action` in the network namespace of `path`. */
export function insideOf(path: string, action: () => void): void {
  using namespace = open(path, O_RDONLY);
  inNamespace(namespace.fd, CLONE_NEWNET, action);
}
