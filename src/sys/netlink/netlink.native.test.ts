/** rtnetlink on the real kernel, in network namespaces of its own. */
import { hasErrno } from "../../kata-error.ts";
import type { FileDescriptor } from "../descriptor.ts";
import { O_RDONLY, open } from "../files.ts";
import { inNamespace, unshare } from "../namespaces.ts";
import { CLONE_NEWNET } from "../process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../testing/native-test.ts";
import { addAddress, deleteAddress, listAddresses } from "./addresses.ts";
import { AF_INET, AF_INET6, parseIpAddress, parseIpPrefix, parseMacAddress } from "./ip-address.ts";
import { createLink, createVethPair, deleteLink, linkByName, listLinks, moveLink, setLink } from "./links.ts";
import { listNeighbours, NUD_PERMANENT, replaceNeighbour } from "./neighbours.ts";
import { NetlinkSocket } from "./netlink-socket.ts";
import { deleteRoute, listRoutes, RTPROT_BOOT, replaceRoute } from "./routes.ts";

const MAC = "02:00:00:00:00:07";

/** A namespace that goes with its descriptor; this program stays where it is. */
function newNetwork(): FileDescriptor {
  using home = open("/proc/self/ns/net", O_RDONLY);
  return inNamespace(home.fd, CLONE_NEWNET, () => {
    unshare(CLONE_NEWNET);
    return open("/proc/self/ns/net", O_RDONLY);
  });
}

// This program's own namespace is a new one from here on: nothing of the host's is touched.
unshare(CLONE_NEWNET);

test("listLinks() shows the loopback interface alone when the namespace is new", () => {
  using socket = NetlinkSocket.open();
  assertEqual(
    listLinks(socket).map(({ name, loopback, up, kind, index }) => ({ name, loopback, up, kind, index })),
    [{ name: "lo", loopback: true, up: false, kind: "", index: 1 }],
  );
});

test("an interface gets name, MTU, hardware address and state, and is gone when it is deleted", async () => {
  using socket = NetlinkSocket.open();
  createLink(socket, "eth7", "bridge");
  const made = linkByName(socket, "eth7");
  setLink(socket, made.index, "eth7", { name: "net0", mtu: 1400, macAddress: MAC });
  setLink(socket, made.index, "net0", { up: true });
  const { flags, ...link } = linkByName(socket, "net0");
  assertEqual(link, {
    index: made.index,
    name: "net0",
    kind: "bridge",
    loopback: false,
    up: true,
    macAddress: MAC,
    mtu: 1400,
  });
  assert((flags & 1) === 1, "IFF_UP is set");
  deleteLink(socket, made.index, "net0");
  await assertThrows(
    () => linkByName(socket, "net0"),
    (error) => hasErrno(error, "ENODEV"),
    "ENODEV",
  );
});

test("a refused request carries the kernel's explanation", async () => {
  using socket = NetlinkSocket.open();
  const error = await assertThrows(
    () => setLink(socket, 1, "lo", { mtu: 0xffff_ffff }),
    (reason) => hasErrno(reason, "EINVAL"),
    "EINVAL",
  );
  assert(hasErrno(error, "EINVAL") && error.hint !== undefined, "there is an explanation");
});

test("addresses, routes and neighbours are added, listed and removed for both families", async () => {
  using socket = NetlinkSocket.open();
  createVethPair(socket, "a0", "b0");
  const { index } = linkByName(socket, "a0");
  try {
    setLink(socket, linkByName(socket, "b0").index, "b0", { up: true });
    setLink(socket, index, "a0", { up: true });
    const v4 = { linkIndex: index, address: parseIpAddress("10.9.8.7"), prefixLength: 24 };
    const v6 = { linkIndex: index, address: parseIpAddress("fd00::7"), prefixLength: 64 };
    addAddress(socket, v4);
    addAddress(socket, v4);
    addAddress(socket, v6);
    assertEqual(
      listAddresses(socket).filter(({ linkIndex, scope }) => linkIndex === index && scope === 0),
      [
        { linkIndex: index, address: "10.9.8.7", prefixLength: 24, scope: 0 },
        { linkIndex: index, address: "fd00::7", prefixLength: 64, scope: 0 },
      ],
    );
    const routes = [
      { family: AF_INET, gateway: parseIpAddress("10.9.8.1"), linkIndex: index, mtu: 1300 },
      { family: AF_INET, destination: parseIpPrefix("192.168.0.0/16"), linkIndex: index, scope: 253 },
      { family: AF_INET6, gateway: parseIpAddress("fd00::1"), linkIndex: index },
    ];
    for (const route of routes) replaceRoute(socket, route);
    for (const route of routes) replaceRoute(socket, route);
    const ours = () => listRoutes(socket).filter(({ protocol }) => protocol === RTPROT_BOOT);
    assertEqual(
      ours().map(({ family, destination, gateway, scope, mtu }) => ({
        family,
        destination,
        gateway,
        scope,
        mtu,
      })),
      [
        { family: 4, destination: "", gateway: "10.9.8.1", scope: 0, mtu: 1300 },
        { family: 4, destination: "192.168.0.0/16", gateway: "", scope: 253, mtu: 0 },
        { family: 6, destination: "", gateway: "fd00::1", scope: 0, mtu: 0 },
      ],
    );
    for (const route of routes) deleteRoute(socket, route);
    assertEqual(ours(), []);
    const macAddress = parseMacAddress(MAC);
    const address = parseIpAddress("10.9.8.9");
    replaceNeighbour(socket, { linkIndex: index, address, macAddress, state: NUD_PERMANENT, flags: 0 });
    assertEqual(
      listNeighbours(socket).filter(({ state }) => state === NUD_PERMANENT),
      [{ linkIndex: index, address: "10.9.8.9", macAddress: MAC, state: NUD_PERMANENT, flags: 0 }],
    );
    deleteAddress(socket, v4);
    await assertThrows(
      () => deleteAddress(socket, v4),
      (error) => hasErrno(error, "EADDRNOTAVAIL"),
      "EADDRNOTAVAIL",
    );
  } finally {
    deleteLink(socket, index, "a0");
  }
});

test("a socket works in the namespace that it is opened for, while the program stays in its own", () => {
  using other = newNetwork();
  using here = NetlinkSocket.open();
  using there = NetlinkSocket.open(other.fd);
  createVethPair(here, "c0", "d0");
  const { index } = linkByName(here, "c0");
  try {
    moveLink(here, linkByName(here, "d0").index, "d0", other.fd);
    assertEqual(
      listLinks(there)
        .map(({ name }) => name)
        .sort(),
      ["d0", "lo"],
    );
    assertEqual(
      listLinks(here)
        .map(({ name }) => name)
        .sort(),
      ["c0", "lo"],
    );
  } finally {
    deleteLink(here, index, "c0");
  }
});

test("a list of hundreds of interfaces comes whole", () => {
  using network = newNetwork();
  using socket = NetlinkSocket.open(network.fd);
  const expected = Array.from({ length: 300 }, (_, index) => `n${index}`);
  for (const name of expected) createLink(socket, name, "bridge");
  assertEqual(
    listLinks(socket)
      .map(({ name }) => name)
      .filter((name) => name !== "lo"),
    expected,
  );
});

runTests();
