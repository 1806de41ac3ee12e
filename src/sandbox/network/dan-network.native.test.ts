/** Devices that a file describes, on the real kernel. Needs root and /dev/net/tun. */
import { hasCode } from "../../kata-error.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { mkdirAll, readDirectory, removeTree, writeFile } from "../../sys/files.ts";
import { MS_PRIVATE, MS_REC, mount } from "../../sys/mount.ts";
import { unshare } from "../../sys/namespaces.ts";
import { CLONE_NEWNET, CLONE_NEWNS, duplicate, getpid } from "../../sys/process.ts";
import { accept, listen } from "../../sys/socket.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { sendDatagrams, talkAsGuest } from "../testing/card-frames.ts";
import { assertSame, snapshot } from "../testing/namespace-snapshot.ts";
import { insideOf, persistentTap } from "../testing/persistent-tap.ts";
import { POD_ADDRESS, POD_MAC, testNetwork } from "../testing/test-network.ts";
import { joinDanNetwork } from "./dan-network.ts";
import { danFile } from "./dan-place.ts";

unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);

const options = { vhost: false, record: { add: () => undefined, remove: () => undefined } };
const NETWORK = {
  interface: { ip_addresses: [`${POD_ADDRESS}/24`], mtu: 1400 },
  routes: [{ dest: "", gateway: "198.51.100.1" }],
};

/** A directory with the description of sandbox `a`. */
function described(content: object): Disposable & { readonly directory: string; readonly file: string } {
  const directory = `/tmp/kata-dan-test.${getpid()}`;
  mkdirAll(directory);
  writeFile(`${directory}/a.json`, JSON.stringify(content));
  return { directory, file: `${directory}/a.json`, [Symbol.dispose]: () => removeTree(directory) };
}

test("danFile() finds the description of a sandbox that has one", () => {
  using made = described({ devices: [] });
  assertEqual(
    [danFile(made.directory, "a"), danFile(made.directory, "b"), danFile("", "a")],
    [made.file, undefined, undefined],
  );
});

test("a tap of the host carries the guest's packets, and stays when the sandbox goes", async () => {
  using network = testNetwork();
  persistentTap(network, 1);
  using made = described({
    netns: network.path,
    devices: [
      {
        name: "net0",
        guest_mac: POD_MAC,
        device: { type: "host-tap", tap_name: "eth0", queue_num: 1 },
        network_info: NETWORK,
      },
    ],
  });
  const before = snapshot(network.inside);
  await sleep(loop, 1);
  const descriptors = readDirectory("/proc/self/fd").length;
  const joined = await joinDanNetwork(made.file, options);
  const [card] = joined.devices;
  assertEqual(joined.namespacePath, network.path);
  assertEqual(
    joined.guest.interfaces.map(({ name, hwAddr, mtu }) => ({ name, hwAddr, mtu })),
    [{ name: "net0", hwAddr: POD_MAC, mtu: 1400n }],
  );
  assertEqual(
    joined.guest.routes.map(({ gateway, device }) => ({ gateway, device })),
    [{ gateway: "198.51.100.1", device: "net0" }],
  );
  assert(card?.backend.kind === "tap", "the card is a tap");
  {
    using stream = new FdStream(
      duplicate(card?.backend.kind === "tap" ? (card.backend.queues[0]?.tap ?? -1) : -1),
    );
    joined.closeDescriptors();
    await talkAsGuest(stream, () => insideOf(network.path, () => sendDatagrams(POD_ADDRESS)));
  }
  await joined.disconnect();
  assertSame(snapshot(network.inside), before);
  assertEqual(readDirectory("/proc/self/fd").length, descriptors, "open descriptors");
});

test("a vhost-user device is connected to, and has an address of its own if none is given", async () => {
  using place = described({ devices: [] });
  const path = `${place.directory}/socket`;
  using listener = listen({ kind: "unix", path });
  writeFile(
    place.file,
    JSON.stringify({
      devices: [{ name: "eth0", device: { type: "vhost-user", path, queue_num: 2, queue_size: 1024 } }],
    }),
  );
  const joined = await joinDanNetwork(place.file, options);
  using peer = await accept(listener);
  const [card] = joined.devices;
  assertEqual(
    card?.backend.kind === "vhost-user" ? [card.backend.queues, card.backend.queueSize] : [],
    [2, 1024],
  );
  assert(/^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/.test(card?.macAddress ?? ""), `address ${card?.macAddress}`);
  assertEqual(joined.guest.interfaces[0]?.hwAddr, card?.macAddress);
  await joined.disconnect();
  assertEqual(await peer.read(new Uint8Array(1)), 0, "the connection has ended");
});

const BAD: readonly [what: string, code: string, device: object][] = [
  ["a tap that is not there", "system-call", { type: "host-tap", tap_name: "tap9" }],
  ["a link that is no tap", "invalid-argument", { type: "host-tap", tap_name: "lo" }],
  ["a socket that nobody listens at", "unavailable", { type: "vhost-user", path: "/nonexistent/socket" }],
  ["a card that is not there", "not-found", { type: "vfio", pci_device_id: "ffff:ff:1f.7" }],
];
for (const [what, code, device] of BAD) {
  test(`${what} is told of, and nothing is held`, async () => {
    using made = described({ devices: [{ name: "eth0", device }] });
    const before = readDirectory("/proc/self/fd").length;
    await assertThrows(
      () => joinDanNetwork(made.file, options),
      (error) => hasCode(error, code),
      code,
    );
    assertEqual(readDirectory("/proc/self/fd").length, before, "open descriptors");
  });
}

test("a description that cannot be read is named", async () => {
  using made = described({ devices: [{ name: "eth0" }] });
  const error = await assertThrows(
    () => joinDanNetwork(made.file, options),
    (reason) => hasCode(reason, "invalid-argument"),
    "invalid-argument",
  );
  assert(String(error).includes(`${made.file}: devices[0].device`), `place in ${error}`);
});

runTests();
