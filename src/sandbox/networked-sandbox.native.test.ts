/** A sandbox whose pod has a network: the guest is in the pod's place. Needs our guest (`npm run image`). */

import { hasCode, hasErrno } from "../kata-error.ts";
import type { Spec } from "../oci/types.ts";
import { loop } from "../sys/event-loop.ts";
import { mkdirAll, O_RDONLY, open, writeFile } from "../sys/files.ts";
import { MS_PRIVATE, MS_REC, mount } from "../sys/mount.ts";
import { unshare } from "../sys/namespaces.ts";
import { addAddress } from "../sys/netlink/addresses.ts";
import { AF_INET, parseIpAddress } from "../sys/netlink/ip-address.ts";
import { linkByName, listLinks, moveLink, setLink } from "../sys/netlink/links.ts";
import { NetlinkSocket } from "../sys/netlink/netlink-socket.ts";
import { replaceRoute } from "../sys/netlink/routes.ts";
import { addIngress, listDisciplines } from "../sys/netlink/traffic-control.ts";
import { pipe } from "../sys/pipe.ts";
import { CLONE_NEWNET, CLONE_NEWNS, clone, pidfdSendSignal, SIGKILL, waitForChild } from "../sys/process.ts";
import { writeSync } from "../sys/program.ts";
import { assert, assertEqual, assertThrows, runTests } from "../sys/testing/native-test.ts";
import { utf8Decode } from "../sys/utf8.ts";
import { cleanUpSandbox } from "./clean-up.ts";
import { openSandbox } from "./open-sandbox.ts";
import { persistentTap } from "./testing/persistent-tap.ts";
import {
  HOST_ADDRESS,
  HOST_V6_ADDRESS,
  POD_ADDRESS,
  POD_MAC,
  POD_MTU,
  testNetwork,
} from "./testing/test-network.ts";
import {
  expectNoTraces,
  readAll,
  TestLogger,
  testConfiguration,
  testId,
  testPlace,
  testSpec,
  vmTest,
} from "./testing/test-pod.ts";

// What stands for the host, with all links in it, ends with this program.
unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);

function networkedSpec(rootfs: string, path: string, args: readonly string[] = ["true"]): Spec {
  return {
    ...testSpec(rootfs, args),
    linux: { namespaces: [{ type: "pid" }, { type: "mount" }, { type: "network", path }] },
  };
}

function ingressCount(socket: NetlinkSocket): number {
  return listDisciplines(socket).filter(({ kind }) => kind === "ingress").length;
}

vmTest("the guest has the pod's link, address, route and name servers, and reaches the host", async () => {
  using network = testNetwork();
  using place = testPlace();
  const id = testId();
  const script = [
    "cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu",
    "ip -4 -o addr show eth0",
    "ip route",
    "cat /etc/resolv.conf",
    `ping -c 1 -W 10 ${HOST_ADDRESS}`,
  ];
  writeFile(`${place.path}/resolv.conf`, "# a comment\nnameserver 198.51.100.53\n", 0o644);
  const plain = testSpec(place.rootfs, ["sh", "-c", script.join("; ")]);
  const spec = {
    ...plain,
    mounts: [
      ...(plain.mounts ?? []),
      {
        destination: "/etc/resolv.conf",
        type: "bind",
        source: `${place.path}/resolv.conf`,
        options: ["bind", "ro"],
      },
    ],
    linux: {
      namespaces: [{ type: "pid" }, { type: "mount" }, { type: "network", path: network.path }],
    },
  } as const;
  const configuration = testConfiguration();
  const sandbox = await openSandbox({
    id,
    configuration,
    spec,
    bundle: place.path,
    logger: new TestLogger(),
  });
  try {
    await sandbox.createContainer({ id, bundle: place.path, spec, rootfs: [] });
    await sandbox.startContainer(id);
    const output = utf8Decode(await readAll(sandbox, id));
    assertEqual((await sandbox.wait({ containerId: id, execId: "" })).status, 0, `status after ${output}`);
    assert(output.startsWith(`${POD_MAC}\n${POD_MTU}\n`), `link of ${output}`);
    assert(output.includes(`inet ${POD_ADDRESS}/24`), `address of ${output}`);
    assert(output.includes(`default via ${HOST_ADDRESS} dev eth0`), `route of ${output}`);
    assert(output.includes("nameserver 198.51.100.53"), `name server of ${output}`);
    assert(output.includes("1 packets received"), `answer of ${output}`);
  } finally {
    await sandbox.stop();
  }
  await expectNoTraces(id);
  const links = listLinks(network.inside);
  assertEqual(
    links.map(({ name }) => name),
    ["lo", "eth0"],
  );
  assertEqual(
    listDisciplines(network.inside).filter(({ kind }) => kind === "ingress"),
    [],
  );
});

vmTest(
  "a macvtap over the link, with a limit and a queue for each processor, is the guest's card",
  async () => {
    using network = testNetwork();
    using place = testPlace();
    const id = testId();
    const script = [
      "cat /sys/class/net/eth0/address",
      "ls /sys/class/net/eth0/queues",
      "ip -o addr show eth0",
      `ping -c 1 -W 10 ${HOST_ADDRESS}`,
      `ping -6 -c 1 -W 10 ${HOST_V6_ADDRESS}`,
    ];
    const spec = networkedSpec(place.rootfs, network.path, ["sh", "-c", script.join("; ")]);
    const limits = { rx_rate_limiter_max_rate: 20_000_000, tx_rate_limiter_max_rate: 20_000_000 };
    const base = testConfiguration({ default_vcpus: 2, ...limits });
    const configuration = { ...base, runtime: { ...base.runtime, internetworking_model: "macvtap" } };
    const sandbox = await openSandbox({
      id,
      configuration,
      spec,
      bundle: place.path,
      logger: new TestLogger(),
    });
    try {
      await sandbox.createContainer({ id, bundle: place.path, spec, rootfs: [] });
      await sandbox.startContainer(id);
      const output = utf8Decode(await readAll(sandbox, id));
      assert(output.startsWith(`${POD_MAC}\nrx-0\nrx-1\ntx-0\ntx-1\n`), `queues of ${output}`);
      assert(output.includes(`inet ${POD_ADDRESS}/24`), `address of ${output}`);
      assertEqual(output.split("1 packets received").length, 3, `answers of ${output}`);
    } finally {
      await sandbox.stop();
    }
    await expectNoTraces(id);
    assertEqual(
      listLinks(network.inside).map(({ name, macAddress }) => `${name} ${macAddress}`),
      ["lo 00:00:00:00:00:00", `eth0 ${POD_MAC}`],
    );
  },
);

vmTest("a link that comes between creation and start is there when the program starts", async () => {
  using network = testNetwork();
  using place = testPlace();
  const id = testId();
  const script = `ip -o addr show eth0; ip route; ping -c 1 -W 10 ${HOST_ADDRESS}`;
  const base = testSpec(place.rootfs, ["sh", "-c", script]);
  // No path, as Docker asks for it: the runtime makes the namespace.
  const spec = {
    ...base,
    linux: { namespaces: [{ type: "pid" }, { type: "mount" }, { type: "network" }] },
  } as const;
  const logger = new TestLogger();
  const sandbox = await openSandbox({
    id,
    configuration: testConfiguration(),
    spec,
    bundle: place.path,
    logger,
  });
  try {
    await sandbox.createContainer({ id, bundle: place.path, spec, rootfs: [] });
    using namespace = open(`/proc/${sandbox.hypervisorPid}/ns/net`, O_RDONLY);
    using late = NetlinkSocket.open(namespace.fd);
    moveLink(network.inside, linkByName(network.inside, "eth0").index, "eth0", namespace.fd);
    const { index } = linkByName(late, "eth0");
    setLink(late, index, "eth0", { up: true });
    addAddress(late, { linkIndex: index, address: parseIpAddress(POD_ADDRESS), prefixLength: 24 });
    replaceRoute(late, { family: AF_INET, gateway: parseIpAddress(HOST_ADDRESS), linkIndex: index });
    await sandbox.startContainer(id);
    const output = utf8Decode(await readAll(sandbox, id));
    assert(output.includes(`inet ${POD_ADDRESS}/24`), `address of ${output}`);
    assert(output.includes(`default via ${HOST_ADDRESS} dev eth0`), `route of ${output}`);
    assert(output.includes("1 packets received"), `answer of ${output}`);
    assertEqual(
      logger.of("warn").filter((line) => line.includes("network")),
      [],
    );
  } finally {
    await sandbox.stop();
  }
  await expectNoTraces(id);
});

vmTest("a tap that a file describes is the guest's card", async () => {
  using network = testNetwork();
  persistentTap(network, 1);
  using place = testPlace();
  const id = testId();
  const descriptions = `${place.path}/dans`;
  mkdirAll(descriptions);
  const device = {
    name: "net7",
    guest_mac: POD_MAC,
    device: { type: "host-tap", tap_name: "eth0" },
    network_info: { interface: { ip_addresses: [`${POD_ADDRESS}/24`], mtu: 1380 } },
  };
  writeFile(`${descriptions}/${id}.json`, JSON.stringify({ netns: network.path, devices: [device] }));
  const base = testConfiguration();
  const configuration = { ...base, runtime: { ...base.runtime, dan_conf: descriptions } };
  const script = `cat /sys/class/net/net7/mtu; ping -c 1 -W 10 ${HOST_ADDRESS}`;
  const spec = testSpec(place.rootfs, ["sh", "-c", script]);
  const sandbox = await openSandbox({
    id,
    configuration,
    spec,
    bundle: place.path,
    logger: new TestLogger(),
  });
  try {
    await sandbox.createContainer({ id, bundle: place.path, spec, rootfs: [] });
    await sandbox.startContainer(id);
    const output = utf8Decode(await readAll(sandbox, id));
    assert(output.startsWith("1380\n"), `MTU of ${output}`);
    assert(output.includes("1 packets received"), `answer of ${output}`);
  } finally {
    await sandbox.stop();
  }
  await expectNoTraces(id);
});

vmTest("a pod whose link somebody else redirects is refused and left as it was", async () => {
  using network = testNetwork();
  using place = testPlace();
  addIngress(network.inside, linkByName(network.inside, "eth0").index, "eth0");
  const id = testId();
  const spec = networkedSpec(place.rootfs, network.path);
  await assertThrows(
    () =>
      openSandbox({
        id,
        configuration: testConfiguration(),
        spec,
        bundle: place.path,
        logger: new TestLogger(),
      }),
    (error) => hasCode(error, "busy"),
    "busy",
  );
  await expectNoTraces(id);
  await assertThrows(
    () => addIngress(network.inside, linkByName(network.inside, "eth0").index, "eth0"),
    (error) => hasErrno(error, "EEXIST"),
    "the other's discipline is there",
  );
  assertEqual(
    listLinks(network.inside).map(({ name }) => name),
    ["lo", "eth0"],
  );
});

vmTest("after kill -9 of the shim, cleanUpSandbox() gives the pod its link back", async () => {
  using network = testNetwork();
  using place = testPlace();
  using ready = pipe();
  const id = testId();
  const spec = networkedSpec(place.rootfs, network.path);
  const shim = clone({ flags: 0 });
  if (shim.role === "child") {
    loop.abandon();
    await openSandbox({
      id,
      configuration: testConfiguration(),
      spec,
      bundle: place.path,
      logger: new TestLogger(),
    });
    writeSync(ready.writer.fd, "ready");
    await new Promise(() => undefined);
    return;
  }
  ready.writer.close();
  await loop.readable(ready.reader.fd);
  loop.forget(ready.reader.fd);
  pidfdSendSignal(shim.pidfd, SIGKILL);
  await waitForChild(shim.pidfd, shim.pid);
  shim.pidfd.close();
  assertEqual(ingressCount(network.inside) > 0, true, "the link is redirected still");
  await cleanUpSandbox(id);
  await expectNoTraces(id);
  assertEqual(ingressCount(network.inside), 0);
  assertEqual(
    listLinks(network.inside).map(({ name }) => name),
    ["lo", "eth0"],
  );
});

runTests();
