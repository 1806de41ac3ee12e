/** Links for a monitor that opens taps itself, by their names. On the real kernel, in network namespaces of our own. */
import { hasCode } from "../../kata-error.ts";
import { MS_PRIVATE, MS_REC, mount } from "../../sys/mount.ts";
import { unshare } from "../../sys/namespaces.ts";
import { listLinks } from "../../sys/netlink/links.ts";
import { CLONE_NEWNET, CLONE_NEWNS } from "../../sys/process.ts";
import { assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { assertSame, snapshot } from "../testing/namespace-snapshot.ts";
import { persistentTap } from "../testing/persistent-tap.ts";
import { POD_MAC, type TestNetwork, testNetwork } from "../testing/test-network.ts";
import { type LinkOptions, wasBrought } from "./attach-link.ts";
import { NetworkNamespace } from "./network-namespace.ts";
import { type NetworkStep, undoNetworkStep } from "./network-steps.ts";
import { PodNetwork } from "./pod-network.ts";
import { NO_LIMITS } from "./rate-limit.ts";
import { makeTap } from "./tap.ts";

unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);

function connect(made: TestNetwork, options: Partial<LinkOptions> = {}): Promise<PodNetwork> {
  return PodNetwork.connect(NetworkNamespace.open(made.path), {
    model: "tcfilter",
    // More than a tap that is opened by its name has.
    queues: 4,
    vhost: true,
    limits: NO_LIMITS,
    passCards: false,
    tapsByName: true,
    record: { add: () => undefined, remove: () => undefined },
    ...options,
  });
}

test("a veth gets a tap of one queue that nobody has open, which goes with the network", async () => {
  using made = testNetwork();
  const before = snapshot(made.inside);
  const network = await connect(made);
  const [device] = network.devices;
  assertEqual(device, {
    kind: "network",
    id: "network0",
    macAddress: POD_MAC,
    backend: { kind: "tap", queues: [], name: "tap0_kata" },
  });
  assertEqual(device !== undefined && wasBrought(device), false, "the machine does not have it yet");
  const tap = listLinks(made.inside).find(({ name }) => name === "tap0_kata");
  assertEqual([tap?.tun?.attached, tap?.tun?.multiQueue], [false, false]);
  {
    // As the monitor does.
    using namespace = NetworkNamespace.open(made.path);
    for (const each of makeTap(namespace, "tap0_kata", 1)) each.close();
  }
  await network.disconnect();
  assertSame(snapshot(made.inside), before);
});

test("such a tap is taken away after a crash, too", async () => {
  using made = testNetwork();
  const before = snapshot(made.inside);
  const steps: NetworkStep[] = [];
  const record = { add: (step: NetworkStep) => void steps.push(step), remove: () => undefined };
  const network = await connect(made, { record });
  for (const step of [...steps].reverse()) undoNetworkStep(made.inside, step);
  assertSame(snapshot(made.inside), before);
  await network.disconnect();
});

test("a tap of one queue that is there is opened by its own name, and stays", async () => {
  using made = testNetwork();
  persistentTap(made, 1);
  const before = snapshot(made.inside);
  const network = await connect(made);
  assertEqual(network.devices[0]?.backend, { kind: "tap", queues: [], name: "eth0" });
  await network.disconnect();
  assertSame(snapshot(made.inside), before);
});

test("what has no name to open is refused, and the namespace is as before", async () => {
  using macvtap = testNetwork("macvtap");
  using overVeth = testNetwork();
  using several = testNetwork();
  persistentTap(several, 3);
  for (const [made, model] of [
    [macvtap, "tcfilter"],
    [overVeth, "macvtap"],
    [several, "tcfilter"],
  ] as const) {
    const before = snapshot(made.inside);
    await assertThrows(
      () => connect(made, { model }),
      (error) =>
        hasCode(error, "unsupported") && String(error).includes('internetworking_model = "tcfilter"'),
      "unsupported",
    );
    assertSame(snapshot(made.inside), before);
  }
});

runTests();
