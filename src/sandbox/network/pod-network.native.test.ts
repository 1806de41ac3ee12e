/** A pod's network on the real kernel: two network namespaces of our own, joined by a veth pair. Needs root and /dev/net/tun. */
import { hasCode } from "../../kata-error.ts";
import { withDeadline } from "../../sys/clock.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { O_RDONLY, open, readDirectory } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { MS_PRIVATE, MS_REC, mount } from "../../sys/mount.ts";
import { inNamespace, unshare } from "../../sys/namespaces.ts";
import { parseIpAddress, parseMacAddress } from "../../sys/netlink/ip-address.ts";
import { createVethPair, deleteLink, linkByName, listLinks } from "../../sys/netlink/links.ts";
import { listNeighbours, replaceNeighbour } from "../../sys/netlink/neighbours.ts";
import type { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { addIngress, listDisciplines } from "../../sys/netlink/traffic-control.ts";
import { CLONE_NEWNET, CLONE_NEWNS, duplicate } from "../../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import {
  HOST_ADDRESS,
  POD_ADDRESS,
  POD_MAC,
  POD_MTU,
  POD_ROUTE_MTU,
  testNetwork,
} from "../testing/test-network.ts";
import { connectPodNetwork, isHostNetwork } from "./pod-network.ts";

// What stands for the host and all that is mounted ends with this program.
unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);

const AF_INET = 2;
const SOCK_DGRAM = 2;
/** struct virtio_net_hdr in front of every frame of the tap. */
const VNET_HEADER_BYTES = 10;

/** Makes the host ask for the pod's hardware address. */
function sendDatagramToPod(): void {
  using socket = new FileDescriptor(
    check(kernel().syscall("socket", AF_INET, SOCK_DGRAM, 0), "make", "socket"),
  );
  const to = new Uint8Array(16);
  to.set([AF_INET, 0, 0x30, 0x39, ...parseIpAddress(POD_ADDRESS)]);
  check(
    kernel().syscall("sendto", socket.fd, new Uint8Array([1]), 1, 0, to, to.length),
    "send to",
    POD_ADDRESS,
  );
}

function disciplinesOf(socket: NetlinkSocket): string[] {
  const links = listLinks(socket);
  return listDisciplines(socket)
    .filter(({ kind }) => kind === "ingress" || kind === "clsact")
    .map(({ linkIndex, kind }) => `${kind} on ${links.find(({ index }) => index === linkIndex)?.name}`);
}

const withoutVhost = { vhost: false, onRedirect: () => undefined };

test("connectPodNetwork() tells the guest of the namespace's link, addresses, routes and lasting neighbours", async () => {
  using made = testNetwork();
  replaceNeighbour(made.inside, {
    linkIndex: linkByName(made.inside, "eth0").index,
    address: parseIpAddress(HOST_ADDRESS),
    macAddress: parseMacAddress("02:00:00:00:00:01"),
    state: 0x80,
    flags: 0,
  });
  const redirected: string[] = [];
  const network = await connectPodNetwork(made.path, {
    vhost: false,
    onRedirect: (link, tap) => void redirected.push(`${link} ${tap}`),
  });
  try {
    assertEqual(redirected, ["eth0 tap0_kata"]);
    assertEqual(network.interfaces, [
      {
        device: "eth0",
        name: "eth0",
        IPAddresses: [{ family: 0, address: POD_ADDRESS, mask: "24" }],
        mtu: BigInt(POD_MTU),
        hwAddr: POD_MAC,
      },
    ]);
    assertEqual(network.routes, [
      {
        dest: "",
        gateway: HOST_ADDRESS,
        device: "eth0",
        source: "",
        scope: 0,
        family: 0,
        flags: 0,
        mtu: POD_ROUTE_MTU,
      },
    ]);
    assertEqual(network.neighbours, [
      {
        toIPAddress: { family: 0, address: HOST_ADDRESS, mask: "" },
        device: "eth0",
        lladdr: "02:00:00:00:00:01",
        state: 0x80,
        flags: 0,
      },
    ]);
    assertEqual(
      network.devices.map(({ kind, id, macAddress }) => ({ kind, id, macAddress })),
      [{ kind: "network", id: "network0", macAddress: POD_MAC }],
    );
    const tap = linkByName(made.inside, "tap0_kata");
    assertEqual([tap.mtu, tap.up], [POD_MTU, true]);
    assertEqual(disciplinesOf(made.inside), ["ingress on eth0", "ingress on tap0_kata"]);
  } finally {
    await network.disconnect();
  }
});

test("packets go from the host to the tap and back, and after disconnect() nothing is left", async () => {
  using made = testNetwork();
  const before = readDirectory("/proc/self/fd").length;
  const network = await connectPodNetwork(made.path, withoutVhost);
  try {
    using tap = new FdStream(duplicate(network.devices[0]?.tap ?? -1));
    network.closeDescriptors();
    sendDatagramToPod();
    const request = await nextFrame(tap, 0x0806);
    // ARP, request, "who has the pod's address": RFC 826.
    assertEqual(
      [...request.subarray(20, 22), ...request.subarray(38, 42)],
      [0, 1, ...parseIpAddress(POD_ADDRESS)],
    );
    const hostMac = request.subarray(6, 12);
    const answer = new Uint8Array(VNET_HEADER_BYTES + 42);
    const frame = answer.subarray(VNET_HEADER_BYTES);
    frame.set([...hostMac, ...parseMacAddress(POD_MAC), 0x08, 0x06]);
    frame.set([0, 1, 8, 0, 6, 4, 0, 2, ...parseMacAddress(POD_MAC), ...parseIpAddress(POD_ADDRESS)], 14);
    frame.set([...hostMac, ...parseIpAddress(HOST_ADDRESS)], 32);
    await tap.write(answer);
    const datagram = await nextFrame(tap, 0x0800);
    assertEqual(
      [...datagram.subarray(0, 6)],
      [...parseMacAddress(POD_MAC)],
      "the datagram goes to the answer's address",
    );
    const known = listNeighbours(made.outside).find(({ address }) => address === POD_ADDRESS);
    assertEqual(known?.macAddress, POD_MAC);
  } finally {
    await network.disconnect();
  }
  assertEqual(disciplinesOf(made.inside), []);
  assertEqual(
    listLinks(made.inside).map(({ name }) => name),
    ["lo", "eth0"],
  );
  assertEqual(readDirectory("/proc/self/fd").length, before, "open descriptors");
});

/** The next frame of a type, without the header that the tap puts in front. */
async function nextFrame(tap: FdStream, type: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(4096);
  for (;;) {
    const what = { operation: "wait for frame", object: type.toString(16) };
    const count = await withDeadline(loop, 3000, what, tap.read(buffer));
    const frame = buffer.slice(VNET_HEADER_BYTES, count);
    if ((((frame[12] ?? 0) << 8) | (frame[13] ?? 0)) === type) return frame;
  }
}

test("a link that somebody else redirects is refused and left as it was", async () => {
  using made = testNetwork();
  addIngress(made.inside, linkByName(made.inside, "eth0").index, "eth0");
  const before = readDirectory("/proc/self/fd").length;
  await assertThrows(
    () => connectPodNetwork(made.path, withoutVhost),
    (error) => hasCode(error, "busy"),
    "busy",
  );
  assertEqual(
    listLinks(made.inside).map(({ name }) => name),
    ["lo", "eth0"],
  );
  assertEqual(readDirectory("/proc/self/fd").length, before, "open descriptors");
});

test("a link without an address is not the guest's", async () => {
  using made = testNetwork();
  createVethPair(made.inside, "spare", "other");
  const network = await connectPodNetwork(made.path, withoutVhost);
  assertEqual(
    network.interfaces.map(({ name }) => name),
    ["eth0"],
  );
  await network.disconnect();
});

test("disconnect() is no error when the link is gone", async () => {
  using made = testNetwork();
  const network = await connectPodNetwork(made.path, withoutVhost);
  deleteLink(made.outside, linkByName(made.outside, made.hostLink).index, made.hostLink);
  assertEqual(
    listLinks(made.inside).some(({ name }) => name === "eth0"),
    false,
  );
  await network.disconnect();
});

test("isHostNetwork() knows this process's namespace from another, and a missing one", async () => {
  using made = testNetwork();
  assertEqual([isHostNetwork("/proc/self/ns/net"), isHostNetwork(made.path)], [true, false]);
  using other = open(made.path, O_RDONLY);
  assert(
    inNamespace(other.fd, CLONE_NEWNET, () => isHostNetwork(made.path)),
    "inside of it, it is the own one",
  );
  await assertThrows(
    () => isHostNetwork("/nonexistent/net"),
    (error) => hasCode(error, "not-found"),
    "not-found",
  );
});

runTests();
