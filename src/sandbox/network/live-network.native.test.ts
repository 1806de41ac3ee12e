/** What a running guest is told when its pod's network namespace changes, on the real kernel and without a machine. */
import { KataError } from "../../kata-error.ts";
import { sleep } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { O_RDONLY, open, readDirectory, writeExisting } from "../../sys/files.ts";
import { MS_PRIVATE, MS_REC, mount } from "../../sys/mount.ts";
import { unshare } from "../../sys/namespaces.ts";
import { addAddress, deleteAddress } from "../../sys/netlink/addresses.ts";
import { AF_INET, parseIpAddress, parseIpPrefix, parseMacAddress } from "../../sys/netlink/ip-address.ts";
import {
  createVethPair,
  deleteLink,
  linkByName,
  listLinks,
  moveLink,
  setLink,
} from "../../sys/netlink/links.ts";
import { NUD_PERMANENT, replaceNeighbour } from "../../sys/netlink/neighbours.ts";
import { deleteRoute, replaceRoute } from "../../sys/netlink/routes.ts";
import { CLONE_NEWNET, CLONE_NEWNS, duplicate } from "../../sys/process.ts";
import { assert, assertEqual, runTests, test } from "../../sys/testing/native-test.ts";
import { assertSame, snapshot } from "../testing/namespace-snapshot.ts";
import { insideOf } from "../testing/persistent-tap.ts";
import {
  HOST_ADDRESS,
  POD_ADDRESS,
  POD_V6_ADDRESS,
  type TestNetwork,
  testNetwork,
} from "../testing/test-network.ts";
import { TestLogger } from "../testing/test-pod.ts";
import { LiveNetwork } from "./live-network.ts";
import { NetworkNamespace } from "./network-namespace.ts";
import { type LiveGuest, PodNetwork } from "./pod-network.ts";
import { NO_LIMITS } from "./rate-limit.ts";

unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);

/** Writes down what it is told. */
class RecordingGuest implements LiveGuest {
  readonly told: string[] = [];
  /** Name of a call that fails. */
  refuse = "";
  /** As a machine does, it has copies of the taps of its cards. */
  readonly #cards = new Map<string, FileDescriptor[]>();

  #tell(call: string, what: string): Promise<void> {
    this.told.push(`${call} ${what}`.trim());
    if (this.refuse !== call) return Promise.resolve();
    return Promise.reject(new KataError("unavailable", { operation: call, object: "the guest" }));
  }

  async plug({ id, macAddress, backend }: Parameters<LiveGuest["plug"]>[0]): Promise<void> {
    await this.#tell("plug", `${id} ${macAddress}`);
    const queues = backend.kind === "tap" ? backend.queues : [];
    this.#cards.set(
      id,
      queues.map(({ tap }) => duplicate(tap)),
    );
  }
  async unplug(id: string): Promise<void> {
    await this.#tell("unplug", id);
    for (const tap of this.#cards.get(id) ?? []) tap.close();
    this.#cards.delete(id);
  }
  updateInterface(wanted: Parameters<LiveGuest["updateInterface"]>[0]): Promise<void> {
    const addresses = wanted.IPAddresses.map(({ address }) => address).join(" ");
    const from = wanted.device === wanted.name ? "" : `, which was ${wanted.device},`;
    return this.#tell("interface", `${wanted.name}${from} ${wanted.hwAddr} ${wanted.mtu} ${addresses}`);
  }
  updateRoutes(routes: Parameters<LiveGuest["updateRoutes"]>[0]): Promise<void> {
    return this.#tell(
      "routes",
      routes.map(({ dest, gateway, device }) => `${dest}>${gateway || device}`).join(" "),
    );
  }
  addNeighbours(neighbours: Parameters<LiveGuest["addNeighbours"]>[0]): Promise<void> {
    return this.#tell("neighbours", neighbours.map(({ toIPAddress }) => toIPAddress.address).join(" "));
  }

  /** What it was told since the last call. */
  heard(): string[] {
    return this.told.splice(0);
  }
}

interface Following extends AsyncDisposable {
  readonly guest: RecordingGuest;
  readonly live: LiveNetwork;
  readonly logger: TestLogger;
}

async function follow(made: { readonly path: string }, canPlug = true): Promise<Following> {
  const network = await PodNetwork.connect(NetworkNamespace.open(made.path), {
    model: "tcfilter",
    queues: 1,
    vhost: false,
    limits: NO_LIMITS,
    passCards: false,
    record: { add: () => undefined, remove: () => undefined },
  });
  const guest = new RecordingGuest();
  const logger = new TestLogger();
  const live = new LiveNetwork({ network, guest, canPlug, clock: loop, logger });
  return {
    guest,
    live,
    logger,
    async [Symbol.asyncDispose]() {
      live.end();
      await network.disconnect();
    },
  };
}

const MAC = "02:00:00:00:00:31";

let links = 0;

/** Another link of the pod, with an address. */
function addLink({ inside, outside, path }: TestNetwork, name: string, address: string): number {
  // The kernel takes a namespace apart some time after its end: names are used once.
  const made = `made${links++}`;
  createVethPair(outside, made, `${made}peer`);
  using namespace = open(path, O_RDONLY);
  moveLink(outside, linkByName(outside, made).index, made, namespace.fd);
  const { index } = linkByName(inside, made);
  setLink(inside, index, made, { name });
  insideOf(path, () => writeExisting(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, "1"));
  setLink(inside, index, name, { macAddress: MAC });
  setLink(inside, index, name, { up: true });
  addAddress(inside, { linkIndex: index, address: parseIpAddress(address), prefixLength: 24 });
  return index;
}

test("a link that comes is plugged in and told of, and one that goes is unplugged", async () => {
  using made = testNetwork();
  const before = snapshot(made.inside);
  // The event loop opens a descriptor when it waits for the first time.
  await sleep(loop, 1);
  const descriptors = readDirectory("/proc/self/fd").length;
  {
    await using following = await follow(made);
    const { guest, live } = following;
    await live.settled();
    assertEqual(guest.heard(), []);
    const index = addLink(made, "net1", "203.0.113.2");
    replaceRoute(made.inside, {
      family: AF_INET,
      destination: parseIpPrefix("10.9.0.0/16"),
      gateway: parseIpAddress("203.0.113.1"),
      linkIndex: index,
    });
    await live.settled();
    const routes = `>${HOST_ADDRESS} 10.9.0.0/16>203.0.113.1 >2001:db8:51::1`;
    assertEqual(guest.heard(), [
      `plug network1 ${MAC}`,
      `interface net1 ${MAC} 1500 203.0.113.2`,
      `routes ${routes}`,
    ]);
    deleteLink(made.inside, index, "net1");
    await live.settled();
    assertEqual(guest.heard(), ["unplug network1", `routes >${HOST_ADDRESS} >2001:db8:51::1`]);
    // Its number is free again.
    const again = addLink(made, "net2", "203.0.113.3");
    await live.settled();
    assertEqual(guest.heard(), [`plug network1 ${MAC}`, `interface net2 ${MAC} 1500 203.0.113.3`]);
    deleteLink(made.inside, again, "net2");
    await live.settled();
  }
  assertSame(snapshot(made.inside), before);
  assertEqual(readDirectory("/proc/self/fd").length, descriptors, "open descriptors");
});

test("addresses, MTU, name, hardware address, routes and neighbours are carried over as they change", async () => {
  using made = testNetwork();
  await using following = await follow(made);
  const { guest, live } = following;
  const { index, macAddress } = linkByName(made.inside, "eth0");
  const second = { linkIndex: index, address: parseIpAddress("198.51.100.7"), prefixLength: 24 };
  const changes: readonly [what: string, change: () => void, told: readonly string[]][] = [
    [
      "an address",
      () => addAddress(made.inside, second),
      [
        `interface eth0 ${macAddress} 1400 ${POD_ADDRESS} 198.51.100.7 ${POD_V6_ADDRESS}`,
        `routes >${HOST_ADDRESS} >2001:db8:51::1`,
      ],
    ],
    [
      "an address less",
      () => deleteAddress(made.inside, second),
      [
        `interface eth0 ${macAddress} 1400 ${POD_ADDRESS} ${POD_V6_ADDRESS}`,
        `routes >${HOST_ADDRESS} >2001:db8:51::1`,
      ],
    ],
    [
      "the MTU",
      () => setLink(made.inside, index, "eth0", { mtu: 1350 }),
      [
        `interface eth0 ${macAddress} 1350 ${POD_ADDRESS} ${POD_V6_ADDRESS}`,
        `routes >${HOST_ADDRESS} >2001:db8:51::1`,
      ],
    ],
    [
      "a route less",
      () =>
        deleteRoute(made.inside, {
          family: AF_INET,
          gateway: parseIpAddress(HOST_ADDRESS),
          linkIndex: index,
        }),
      ["routes >2001:db8:51::1"],
    ],
    [
      "a neighbour",
      () =>
        replaceNeighbour(made.inside, {
          linkIndex: index,
          address: parseIpAddress("198.51.100.9"),
          macAddress: parseMacAddress(MAC),
          state: NUD_PERMANENT,
          flags: 0,
        }),
      ["neighbours 198.51.100.9"],
    ],
    [
      "the hardware address",
      () => setLink(made.inside, index, "eth0", { macAddress: MAC }),
      [`interface eth0 ${MAC} 1350 ${POD_ADDRESS} ${POD_V6_ADDRESS}`, "routes >2001:db8:51::1"],
    ],
  ];
  for (const [what, change, told] of changes) {
    change();
    await live.settled();
    assertEqual(guest.heard(), told, what);
  }
  assertEqual(linkByName(made.inside, "tap0_kata").mtu, 1350, "the tap's MTU");
  // A name is changed on a link that is down.
  setLink(made.inside, index, "eth0", { up: false });
  setLink(made.inside, index, "eth0", { name: "wan0" });
  setLink(made.inside, index, "wan0", { up: true });
  await live.settled();
  assertEqual(
    guest.heard()[0]?.startsWith(`interface wan0, which was eth0, ${MAC} 1350 ${POD_ADDRESS}`),
    true,
    "the name",
  );
});

test("what the guest refuses is told once, leaves nothing, and is tried again at the next change", async () => {
  using made = testNetwork();
  await using following = await follow(made);
  const { guest, live, logger } = following;
  guest.refuse = "plug";
  const index = addLink(made, "net1", "203.0.113.2");
  await live.settled();
  setLink(made.inside, index, "net1", { mtu: 1400 });
  await live.settled();
  assertEqual(logger.of("warn").length, 1, logger.of("warn").join("; "));
  assert(/plug in net1.*the guest/.test(logger.of("warn")[0] ?? ""), logger.of("warn").join("; "));
  assertEqual(
    listLinks(made.inside).some(({ name }) => name === "tap1_kata"),
    false,
    "a tap is left",
  );
  guest.refuse = "";
  guest.heard();
  setLink(made.inside, index, "net1", { mtu: 1300 });
  await live.settled();
  assertEqual(guest.heard(), [`plug network1 ${MAC}`, `interface net1 ${MAC} 1300 203.0.113.2`]);
});

test("a machine that takes no cards keeps its own, and the log says why", async () => {
  using made = testNetwork();
  await using following = await follow(made, false);
  const { guest, live, logger } = following;
  addLink(made, "net1", "203.0.113.2");
  await live.settled();
  assertEqual(guest.heard(), []);
  assert(/plug in net1.*takes no cards/.test(logger.of("warn").join()), logger.of("warn").join("; "));
});

test("changes are followed by themselves, and not after the end", async () => {
  using made = testNetwork();
  await using following = await follow(made);
  const { guest, live } = following;
  const { index } = linkByName(made.inside, "eth0");
  const told = new Promise<void>((resolve) => {
    const tell = guest.updateInterface.bind(guest);
    guest.updateInterface = async (wanted) => {
      await tell(wanted);
      resolve();
    };
  });
  setLink(made.inside, index, "eth0", { mtu: 1300 });
  await told;
  await live.settled();
  guest.heard();
  live.end();
  setLink(made.inside, index, "eth0", { mtu: 1310 });
  await live.settled();
  assertEqual(guest.heard(), []);
});

runTests();
