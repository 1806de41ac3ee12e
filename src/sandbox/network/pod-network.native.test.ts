/** A pod's network on the real kernel: network namespaces of our own. Needs root and /dev/net/tun. */
import { hasCode } from "../../kata-error.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { O_RDONLY, O_RDWR, open, readDirectory } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { MS_PRIVATE, MS_REC, mount } from "../../sys/mount.ts";
import { inNamespace, unshare } from "../../sys/namespaces.ts";
import { addAddress } from "../../sys/netlink/addresses.ts";
import { parseIpAddress, parseMacAddress } from "../../sys/netlink/ip-address.ts";
import { createVethPair, deleteLink, linkByName, listLinks, setLink } from "../../sys/netlink/links.ts";
import { NUD_PERMANENT, replaceNeighbour } from "../../sys/netlink/neighbours.ts";
import type { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { addIngress, listDisciplines } from "../../sys/netlink/traffic-control.ts";
import { CLONE_NEWNET, CLONE_NEWNS, duplicate } from "../../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { nextFrame, sendDatagrams, talkAsGuest, VNET_HEADER_BYTES } from "../testing/card-frames.ts";
import { assertSame, snapshot } from "../testing/namespace-snapshot.ts";
import { insideOf, persistentTap } from "../testing/persistent-tap.ts";
import {
  HOST_ADDRESS,
  HOST_V6_ADDRESS,
  POD_ADDRESS,
  POD_MAC,
  POD_MTU,
  POD_ROUTE_MTU,
  POD_V6_ADDRESS,
  type TestNetwork,
  testNetwork,
} from "../testing/test-network.ts";
import type { LinkOptions } from "./attach-link.ts";
import { NetworkNamespace } from "./network-namespace.ts";
import { type NetworkStep, parseNetworkSteps, undoNetworkStep } from "./network-steps.ts";
import { isHostNetwork, PodNetwork } from "./pod-network.ts";
import { NO_LIMITS } from "./rate-limit.ts";
import { makeTap } from "./tap.ts";

// What stands for the host and all that is mounted ends with this program.
unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);

const TUNSETIFF = 0x400454ca;
const HOST_MAC = "02:00:00:00:00:01";

function connect(made: { readonly path: string }, options: Partial<LinkOptions> = {}): Promise<PodNetwork> {
  const record = { add: () => undefined, remove: () => undefined };
  return PodNetwork.connect(NetworkNamespace.open(made.path), {
    model: "tcfilter",
    queues: 1,
    vhost: false,
    limits: NO_LIMITS,
    passCards: false,
    record,
    ...options,
  });
}

function linkNames(socket: NetlinkSocket): string[] {
  return listLinks(socket)
    .map(({ name }) => name)
    .sort();
}

/** Disciplines that are not the kernel's own choice. */
function disciplinesOf(socket: NetlinkSocket): string[] {
  const links = listLinks(socket);
  return listDisciplines(socket)
    .filter(({ kind }) => ["ingress", "clsact", "tbf"].includes(kind))
    .map(({ linkIndex, kind }) => `${kind} on ${links.find(({ index }) => index === linkIndex)?.name}`);
}

/** The machine's end of the only card, as a stream of frames. */
function cardOf(network: PodNetwork): FdStream {
  const [device] = network.devices;
  assert(device?.backend.kind === "tap", "the card is a tap");
  const stream = new FdStream(
    duplicate(device.backend.kind === "tap" ? (device.backend.queues[0]?.tap ?? -1) : -1),
  );
  network.closeDescriptors();
  return stream;
}

interface Case {
  readonly what: string;
  readonly make: () => TestNetwork;
  readonly options?: Partial<LinkOptions>;
  /** Links and disciplines of the namespace while the network is joined. */
  readonly links: readonly string[];
  readonly disciplines: readonly string[];
  /** Sends the first packet; from the host's side unless it says otherwise. */
  readonly ask?: (made: TestNetwork) => void;
}

const LIMITS = { received: 50_000_000, sent: 50_000_000 };

const CASES: readonly Case[] = [
  {
    what: "a veth",
    make: () => testNetwork(),
    links: ["lo", "eth0", "tap0_kata"],
    disciplines: ["ingress on eth0", "ingress on tap0_kata"],
  },
  {
    what: "a veth with limits",
    make: () => testNetwork(),
    options: { limits: LIMITS },
    links: ["lo", "eth0", "tap0_kata"],
    disciplines: ["tbf on eth0", "ingress on eth0", "tbf on tap0_kata", "ingress on tap0_kata"],
  },
  {
    what: "a veth with a macvtap over it",
    make: () => testNetwork(),
    options: { model: "macvtap" },
    links: ["lo", "eth0", "macvtap0_kata"],
    disciplines: [],
  },
  {
    what: "a veth with a macvtap over it and limits",
    make: () => testNetwork(),
    options: { model: "macvtap", limits: LIMITS },
    links: ["lo", "eth0", "macvtap0_kata", "ifb0_kata"],
    disciplines: ["tbf on macvtap0_kata", "ingress on macvtap0_kata", "tbf on ifb0_kata"],
  },
  {
    what: "a macvlan",
    make: () => testNetwork("macvlan"),
    links: ["lo", "eth0", "tap0_kata"],
    disciplines: ["ingress on eth0", "ingress on tap0_kata"],
  },
  {
    what: "a macvlan with a macvtap over it",
    make: () => testNetwork("macvlan"),
    options: { model: "macvtap" },
    links: ["lo", "eth0", "macvtap0_kata"],
    disciplines: [],
  },
  {
    what: "a macvtap",
    make: () => testNetwork("macvtap"),
    links: ["lo", "eth0"],
    disciplines: [],
  },
  {
    what: "a macvtap with limits",
    make: () => testNetwork("macvtap"),
    options: { limits: LIMITS },
    links: ["lo", "eth0", "ifb0_kata"],
    disciplines: ["tbf on eth0", "ingress on eth0", "tbf on ifb0_kata"],
  },
  {
    what: "a tap that no program has open",
    make: () => {
      const made = testNetwork();
      persistentTap(made, 1);
      return made;
    },
    links: ["lo", "eth0"],
    disciplines: [],
    ask: ({ path }) => insideOf(path, () => sendDatagrams(POD_ADDRESS)),
  },
  {
    what: "a tap that no program has open, with limits",
    make: () => {
      const made = testNetwork();
      persistentTap(made, 1);
      return made;
    },
    options: { limits: LIMITS },
    links: ["lo", "eth0", "ifb0_kata"],
    disciplines: ["tbf on eth0", "ingress on eth0", "tbf on ifb0_kata"],
    ask: ({ path }) => insideOf(path, () => sendDatagrams(POD_ADDRESS)),
  },
];

for (const { what, make, options = {}, links, disciplines, ask } of CASES) {
  test(`${what} carries packets both ways, and nothing is left of it after disconnect()`, async () => {
    using made = make();
    const before = snapshot(made.inside);
    // The event loop opens a descriptor when it waits for the first time.
    await sleep(loop, 1);
    const descriptors = readDirectory("/proc/self/fd").length;
    const network = await connect(made, options);
    try {
      assertEqual(linkNames(made.inside), [...links].sort(), "links");
      assertEqual([...disciplinesOf(made.inside)].sort(), [...disciplines].sort(), "disciplines");
      assertEqual(
        network.devices.map(({ kind, id, macAddress }) => ({ kind, id, macAddress })),
        [{ kind: "network", id: "network0", macAddress: POD_MAC }],
      );
      using card = cardOf(network);
      await talkAsGuest(card, () => (ask === undefined ? sendDatagrams(POD_ADDRESS) : ask(made)));
    } finally {
      await network.disconnect();
    }
    assertSame(snapshot(made.inside), before);
    assertEqual(readDirectory("/proc/self/fd").length, descriptors, "open descriptors");
  });

  test(`${what} is given back from what was recorded, after a crash`, async () => {
    using made = make();
    const before = snapshot(made.inside);
    const steps: NetworkStep[] = [];
    const record = {
      add: (step: NetworkStep) => void steps.push(step),
      remove: () => undefined,
    };
    const network = await connect(made, { ...options, record });
    // As the kernel does it for a process that is killed.
    network.closeDescriptors();
    const recorded = parseNetworkSteps(JSON.parse(JSON.stringify(steps)));
    assertEqual(recorded, steps);
    for (const step of recorded.reverse()) undoNetworkStep(made.inside, step);
    assertSame(snapshot(made.inside), before);
    // All of it is gone already.
    await network.disconnect();
    assertSame(snapshot(made.inside), before);
  });
}

test("the guest is told of the link, its addresses, routes and lasting neighbours", async () => {
  using made = testNetwork();
  for (const address of [HOST_ADDRESS, HOST_V6_ADDRESS]) {
    replaceNeighbour(made.inside, {
      linkIndex: linkByName(made.inside, "eth0").index,
      address: parseIpAddress(address),
      macAddress: parseMacAddress(HOST_MAC),
      state: NUD_PERMANENT,
      flags: 0,
    });
  }
  for (const model of ["tcfilter", "macvtap"] as const) {
    const network = await connect(made, { model });
    try {
      assertEqual(network.guest.interfaces, [
        {
          device: "eth0",
          name: "eth0",
          IPAddresses: [
            { family: 0, address: POD_ADDRESS, mask: "24" },
            { family: 1, address: POD_V6_ADDRESS, mask: "64" },
          ],
          mtu: BigInt(POD_MTU),
          hwAddr: POD_MAC,
          rawFlags: 0,
        },
      ]);
      const route = { dest: "", device: "eth0", source: "", scope: 0, flags: 0 };
      assertEqual(network.guest.routes, [
        { ...route, gateway: HOST_ADDRESS, family: 0, mtu: POD_ROUTE_MTU, priority: 0 },
        { ...route, gateway: HOST_V6_ADDRESS, family: 1, mtu: 0, priority: 512 },
      ]);
      const neighbour = { device: "eth0", lladdr: HOST_MAC, state: 0x80, flags: 0 };
      assertEqual(network.guest.neighbours, [
        { ...neighbour, toIPAddress: { family: 0, address: HOST_ADDRESS, mask: "" } },
        { ...neighbour, toIPAddress: { family: 1, address: HOST_V6_ADDRESS, mask: "" } },
      ]);
    } finally {
      await network.disconnect();
    }
  }
});

test("a tap that a program has open is redirected, and packets come from that program", async () => {
  using made = testNetwork();
  deleteLink(made.inside, linkByName(made.inside, "eth0").index, "eth0");
  using namespace = NetworkNamespace.open(made.path);
  const [opened] = makeTap(namespace, "eth0", 1);
  assert(opened !== undefined, "the tap is open");
  if (opened === undefined) return;
  using program = new FdStream(opened);
  const { index } = linkByName(made.inside, "eth0");
  setLink(made.inside, index, "eth0", { up: true });
  addAddress(made.inside, { linkIndex: index, address: parseIpAddress(POD_ADDRESS), prefixLength: 24 });
  const network = await connect(made);
  try {
    assertEqual(linkNames(made.inside), ["eth0", "lo", "tap0_kata"]);
    using card = cardOf(network);
    const sent = new Uint8Array(VNET_HEADER_BYTES + 60);
    // EtherType for local experiments: IEEE 802, 88-B5.
    sent.set(
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ...parseMacAddress(HOST_MAC), 0x88, 0xb5, 7],
      VNET_HEADER_BYTES,
    );
    await program.write(sent);
    assertEqual((await nextFrame(card, 0x88b5))[14], 7);
    sent[VNET_HEADER_BYTES + 14] = 8;
    await card.write(sent);
    assertEqual((await nextFrame(program, 0x88b5))[14], 8);
  } finally {
    await network.disconnect();
  }
});

test("a card has as many queues as are wanted, where the link can have them", async () => {
  const queuesOf = async (made: TestNetwork, model: "tcfilter" | "macvtap") => {
    const network = await connect(made, { queues: 3, model });
    const [device] = network.devices;
    await network.disconnect();
    return device?.backend.kind === "tap" ? device.backend.queues.length : 0;
  };
  using veth = testNetwork();
  using macvtap = testNetwork("macvtap");
  using single = testNetwork();
  persistentTap(single, 1);
  using several = testNetwork();
  persistentTap(several, 3);
  assertEqual(
    [
      await queuesOf(veth, "tcfilter"),
      await queuesOf(veth, "macvtap"),
      await queuesOf(macvtap, "tcfilter"),
      await queuesOf(single, "tcfilter"),
      await queuesOf(several, "tcfilter"),
    ],
    [3, 3, 3, 1, 3],
  );
});

test("what a pod receives comes no faster than its limit", async () => {
  const DATAGRAMS = 100;
  const BYTES = 1000;
  const count = async (received: number): Promise<number> => {
    using made = testNetwork();
    const network = await connect(made, { limits: { received, sent: 0 } });
    try {
      using card = cardOf(network);
      await talkAsGuest(card, () => sendDatagrams(POD_ADDRESS));
      sendDatagrams(POD_ADDRESS, DATAGRAMS, BYTES);
      await sleep(loop, 100);
      const buffer = new Uint8Array(4096);
      for (let frames = 0; ; ) {
        const length = kernel().syscall("read", card.fd, buffer, buffer.length);
        if (length < 0) return frames;
        if (length > BYTES) frames++;
      }
    } finally {
      await network.disconnect();
    }
  };
  assertEqual(await count(0), DATAGRAMS, "without a limit");
  // 400 kbit/s: 32 KiB at once, then 5 kB in 100 ms.
  const limited = await count(400_000);
  assert(limited >= 25 && limited <= 45, `${limited} datagrams under a limit`);
});

test("a link that somebody else redirects or limits is refused and left as it was", async () => {
  using made = testNetwork();
  addIngress(made.inside, linkByName(made.inside, "eth0").index, "eth0");
  const before = snapshot(made.inside);
  const descriptors = readDirectory("/proc/self/fd").length;
  for (const limits of [NO_LIMITS, LIMITS]) {
    await assertThrows(
      () => connect(made, { limits }),
      (error) => hasCode(error, "busy"),
      "busy",
    );
    assertSame(snapshot(made.inside), before);
  }
  assertEqual(readDirectory("/proc/self/fd").length, descriptors, "open descriptors");
});

test("a link without an address is not the guest's", async () => {
  using made = testNetwork();
  createVethPair(made.inside, "spare", "other");
  const network = await connect(made);
  assertEqual(
    network.guest.interfaces.map(({ name }) => name),
    ["eth0"],
  );
  await network.disconnect();
});

test("a link that carries IP packets is refused by name", async () => {
  using made = testNetwork();
  using namespace = NetworkNamespace.open(made.path);
  using tun = namespace.inside(() => open("/dev/net/tun", O_RDWR));
  const request = new Uint8Array(40);
  request.set(utf8Encode("tunnel0"));
  // IFF_TUN
  request[16] = 1;
  check(kernel().syscall("ioctl", tun.fd, TUNSETIFF, request), "make", "tunnel0");
  addAddress(made.inside, {
    linkIndex: linkByName(made.inside, "tunnel0").index,
    address: parseIpAddress("203.0.113.1"),
    prefixLength: 24,
  });
  const before = snapshot(made.inside);
  const error = await assertThrows(
    () => connect(made),
    (reason) => hasCode(reason, "unsupported"),
    "unsupported",
  );
  assert(String(error).includes("link tunnel0 is a tun device"), `name in ${error}`);
  assertSame(snapshot(made.inside), before);
});

test("disconnect() is no error when the link is gone", async () => {
  for (const model of ["tcfilter", "macvtap"] as const) {
    using made = testNetwork();
    const network = await connect(made, { model });
    deleteLink(made.outside, linkByName(made.outside, made.hostLink).index, made.hostLink);
    assertEqual(
      listLinks(made.inside).some(({ name }) => name === "eth0"),
      false,
    );
    await network.disconnect();
  }
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
