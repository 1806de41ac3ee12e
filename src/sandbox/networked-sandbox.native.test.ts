/** A sandbox whose pod has a network: the guest is in the pod's place. Needs our guest (`npm run image`). */

import { hasCode, hasErrno } from "../kata-error.ts";
import type { Spec } from "../oci/types.ts";
import { loop } from "../sys/event-loop.ts";
import { writeFile } from "../sys/files.ts";
import { MS_PRIVATE, MS_REC, mount } from "../sys/mount.ts";
import { unshare } from "../sys/namespaces.ts";
import { linkByName, listLinks } from "../sys/netlink/links.ts";
import type { NetlinkSocket } from "../sys/netlink/netlink-socket.ts";
import { addIngress, listDisciplines } from "../sys/netlink/traffic-control.ts";
import { pipe } from "../sys/pipe.ts";
import { CLONE_NEWNET, CLONE_NEWNS, clone, pidfdSendSignal, SIGKILL, waitForChild } from "../sys/process.ts";
import { writeSync } from "../sys/program.ts";
import { assert, assertEqual, assertThrows, runTests } from "../sys/testing/native-test.ts";
import { utf8Decode } from "../sys/utf8.ts";
import { cleanUpSandbox } from "./clean-up.ts";
import { openSandbox } from "./open-sandbox.ts";
import { HOST_ADDRESS, POD_ADDRESS, POD_MAC, POD_MTU, testNetwork } from "./testing/test-network.ts";
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

function networkedSpec(rootfs: string, path: string): Spec {
  return {
    ...testSpec(rootfs, ["true"]),
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
    assertEqual(await sandbox.wait({ containerId: id, execId: "" }), 0, `status after ${output}`);
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
