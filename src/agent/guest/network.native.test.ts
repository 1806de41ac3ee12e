/** The guest's network set up as a host asks for it, in a network namespace of this program's own. */
import { hasCode } from "../../kata-error.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { O_RDONLY, open } from "../../sys/files.ts";
import { inNamespace, unshare } from "../../sys/namespaces.ts";
import { createVethPair, deleteLink, linkByName, listLinks, setLink } from "../../sys/netlink/links.ts";
import { listNeighbours, NUD_PERMANENT } from "../../sys/netlink/neighbours.ts";
import { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { CLONE_NEWNET } from "../../sys/process.ts";
import { assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import {
  addNeighbours,
  type GuestInterface,
  type GuestRoute,
  listGuestRoutes,
  listInterfaces,
  updateInterface,
  updateRoutes,
} from "./network.ts";
import { ParkedCards } from "./parked-cards.ts";

const MAC = "02:ca:fe:00:00:01";
const TIMEOUT_MS = 2000;

unshare(CLONE_NEWNET);

/** A card as the machine finds it: with a name by order, and with `macAddress`. The other end is the host's. */
function card(name: string, macAddress: string): { readonly index: number } & Disposable {
  using socket = NetlinkSocket.open();
  createVethPair(socket, name, `${name}-host`);
  const { index } = linkByName(socket, name);
  setLink(socket, index, name, { macAddress });
  setLink(socket, linkByName(socket, `${name}-host`).index, `${name}-host`, { up: true });
  return {
    index,
    [Symbol.dispose]() {
      using again = NetlinkSocket.open();
      deleteLink(again, index, name);
    },
  };
}

const wanted = (more: Partial<GuestInterface> = {}): GuestInterface => ({
  device: "eth0",
  name: "eth0",
  macAddress: MAC,
  mtu: 1400,
  addresses: [
    { address: "10.88.0.5", mask: "16" },
    { address: "fd00:88::5", mask: "64" },
  ],
  arp: true,
  ...more,
});

const route = (more: Partial<GuestRoute>): GuestRoute => ({
  destination: "",
  gateway: "",
  device: "eth0",
  source: "",
  scope: 0,
  family: 4,
  flags: 0,
  mtu: 0,
  priority: 0,
  ...more,
});

/** Name, MTU, hardware address and addresses of the interface with `index`, but for link-local ones. */
function look(index: number) {
  const found = listInterfaces().find(({ link }) => link.index === index);
  return {
    name: found?.link.name,
    mtu: found?.link.mtu,
    macAddress: found?.link.macAddress,
    up: found?.link.up,
    addresses: found?.addresses
      .filter(({ scope }) => scope === 0)
      .map(({ address, prefixLength }) => `${address}/${prefixLength}`),
  };
}

const EXPECTED = {
  name: "eth0",
  mtu: 1400,
  macAddress: MAC,
  up: true,
  addresses: ["10.88.0.5/16", "fd00:88::5/64"],
};

test("the interface with the hardware address gets name, MTU and addresses", async () => {
  using found = card("ens3", MAC);
  await updateInterface(wanted({ device: "ens3" }), TIMEOUT_MS);
  assertEqual(look(found.index), EXPECTED);
});

test("an interface of another hardware address gets it when it has the name", async () => {
  using found = card("eth0", "02:00:00:00:00:99");
  await updateInterface(wanted(), TIMEOUT_MS);
  assertEqual(look(found.index), EXPECTED);
});

test("a second update leaves what is right and takes away what is no longer wanted", async () => {
  using found = card("eth0", MAC);
  await updateInterface(wanted(), TIMEOUT_MS);
  await updateInterface(wanted({ mtu: 0, addresses: [{ address: "10.88.0.6", mask: "16" }] }), TIMEOUT_MS);
  assertEqual(look(found.index), { ...EXPECTED, addresses: ["10.88.0.6/16"] });
});

test("two interfaces exchange their names when the machine has found them in the other order", async () => {
  const other = "02:ca:fe:00:00:02";
  using first = card("eth0", other);
  using second = card("eth1", MAC);
  await updateInterface(wanted({ addresses: [] }), TIMEOUT_MS);
  await updateInterface(
    wanted({ device: "eth1", name: "eth1", macAddress: other, addresses: [] }),
    TIMEOUT_MS,
  );
  assertEqual([look(first.index).name, look(second.index).name], ["eth1", "eth0"]);
});

test("cards that wait for a pod are out of sight, without addresses, and are there again with the pod's network", async () => {
  const parked = new ParkedCards();
  using found = card("eth0", MAC);
  await updateInterface(wanted(), TIMEOUT_MS);
  parked.park();
  assertEqual(
    listInterfaces().map(({ link }) => [link.name, link.up]),
    [["lo", true]],
  );
  parked.park();
  parked.unpark();
  assertEqual(look(found.index), { ...EXPECTED, up: false, addresses: [] });
  parked.unpark();
  assertEqual(look(found.index).name, "eth0");
});

test("a card that waits is brought to a pod that has no network yet, and one that is plugged in after that as well", async () => {
  const other = "02:ca:fe:00:00:02";
  const parked = new ParkedCards();
  card("eth0", MAC);
  const lot = open("/proc/self/ns/net", O_RDONLY);
  parked.park();
  // By the name that it has: the pod's address is none of its own.
  const early = wanted({ device: "eth0", name: "net1", macAddress: "02:ca:fe:00:00:05" });
  await parked.fetch(early, TIMEOUT_MS);
  await updateInterface(early, TIMEOUT_MS);
  const late = wanted({ device: "eth0", macAddress: other });
  const fetched = parked.fetch(late, TIMEOUT_MS);
  await sleep(loop, 20);
  inNamespace(lot.fd, CLONE_NEWNET, () => card("eth3", other));
  lot.close();
  await fetched;
  await updateInterface(late, TIMEOUT_MS);
  const names = listInterfaces().map(({ link }) => [link.name, link.up, link.macAddress]);
  assertEqual(names, [
    ["lo", true, "00:00:00:00:00:00"],
    ["net1", true, early.macAddress],
    ["eth0", true, other],
  ]);
  // One that is here is not looked for there, whatever its address is to be.
  await parked.fetch({ ...late, macAddress: "02:ca:fe:00:00:03" }, 50);
  await assertThrows(
    () => parked.fetch({ ...late, device: "eth7", name: "eth7", macAddress: "02:ca:fe:00:00:04" }, 50),
    (error) => hasCode(error, "deadline-exceeded"),
    "deadline-exceeded",
  );
  using socket = NetlinkSocket.open();
  for (const name of ["net1", "eth0"]) deleteLink(socket, linkByName(socket, name).index, name);
  parked.unpark();
});

test("an interface that is being plugged in is waited for", async () => {
  const update = updateInterface(wanted(), TIMEOUT_MS);
  await sleep(loop, 20);
  using found = card("eth0", MAC);
  await update;
  assertEqual(look(found.index), EXPECTED);
});

test("an interface that does not come is an error after the time limit", async () => {
  await assertThrows(
    () => updateInterface(wanted(), 50),
    (error) => hasCode(error, "deadline-exceeded"),
    "deadline-exceeded",
  );
});

const BAD: readonly Partial<GuestInterface>[] = [
  { macAddress: "nonsense" },
  { name: "a/b" },
  { name: "x".repeat(16) },
  { mtu: 70_000 },
  { addresses: [{ address: "10.0.0.256", mask: "8" }] },
  { addresses: [{ address: "10.0.0.1", mask: "33" }] },
  { addresses: [{ address: "10.0.0.1", mask: "" }] },
];
for (const bad of BAD) {
  test(`${JSON.stringify(bad)} is refused, and the interface stays as it is`, async () => {
    using found = card("eth0", MAC);
    const before = look(found.index);
    await assertThrows(
      () => updateInterface(wanted(bad), TIMEOUT_MS),
      (error) => hasCode(error, "invalid-argument"),
      "invalid-argument",
    );
    assertEqual(look(found.index), before);
  });
}

test("routes become what the host wants, whatever their order, and others go", async () => {
  using _found = card("eth0", MAC);
  await updateInterface(wanted(), TIMEOUT_MS);
  updateRoutes([route({ destination: "192.0.2.0/24", gateway: "10.88.0.9" })]);
  updateRoutes([
    route({ gateway: "10.88.0.1", mtu: 1300 }),
    route({ destination: "172.16.0.0/12", scope: 253 }),
    route({ destination: "::/0", gateway: "fd00:88::1", family: 6 }),
    route({ destination: "198.51.100.0/24", gateway: "172.16.0.1" }),
  ]);
  const text = listGuestRoutes().map(
    ({ device, route: { destination, gateway, scope, mtu } }) =>
      `${destination || "default"} ${gateway || "-"} ${device} ${scope} ${mtu}`,
  );
  assertEqual(text.sort(), [
    "172.16.0.0/12 - eth0 253 0",
    "198.51.100.0/24 172.16.0.1 eth0 0 0",
    "default 10.88.0.1 eth0 0 1300",
    "default fd00:88::1 eth0 0 0",
  ]);
  updateRoutes([]);
  assertEqual(listGuestRoutes(), []);
});

test("routes to one destination stay side by side when their priorities differ", async () => {
  using _found = card("eth0", MAC);
  await updateInterface(wanted(), TIMEOUT_MS);
  const both = [
    route({ gateway: "10.88.0.1", priority: 100 }),
    route({ gateway: "10.88.0.2", priority: 200 }),
    route({ destination: "::/0", gateway: "fd00:88::1", family: 6, priority: 1024 }),
  ];
  const now = () => listGuestRoutes().map(({ route: { gateway, priority } }) => `${gateway} ${priority}`);
  updateRoutes(both);
  assertEqual(now(), ["10.88.0.1 100", "10.88.0.2 200", "fd00:88::1 1024"]);
  updateRoutes(both.slice(1));
  assertEqual(now(), ["10.88.0.2 200", "fd00:88::1 1024"]);
});

test("a route over an interface that is not there is refused", async () => {
  await assertThrows(
    () => updateRoutes([route({ device: "eth9" })]),
    (error) => hasCode(error, "not-found"),
    "not-found",
  );
});

test("neighbours are added for good", async () => {
  using found = card("eth0", MAC);
  await updateInterface(wanted(), TIMEOUT_MS);
  const neighbour = {
    address: "10.88.0.1",
    device: "eth0",
    macAddress: "02:00:00:00:00:01",
    state: 0,
    flags: 0,
  };
  addNeighbours([neighbour, neighbour]);
  using socket = NetlinkSocket.open();
  assertEqual(
    listNeighbours(socket).filter(({ state }) => state === NUD_PERMANENT),
    [{ linkIndex: found.index, address: "10.88.0.1", macAddress: "02:00:00:00:00:01", state: 128, flags: 0 }],
  );
  assertEqual(
    listLinks(socket)
      .map(({ name }) => name)
      .includes("eth0"),
    true,
  );
});

runTests();
