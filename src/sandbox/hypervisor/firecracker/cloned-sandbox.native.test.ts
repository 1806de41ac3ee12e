/**
 * Whole pods with Firecracker's stand-in in its jail: booted, and cloned from one that was saved. Needs our guest (`npm run image`) and
 * the stand-ins.
 */

import { defaultConfiguration } from "../../../config/index.ts";
import type { Spec } from "../../../oci/types.ts";
import { loop } from "../../../sys/event-loop.ts";
import { exists, readDirectory, removeTree } from "../../../sys/files.ts";
import { MS_PRIVATE, MS_REC, mount } from "../../../sys/mount.ts";
import { unshare } from "../../../sys/namespaces.ts";
import { listLinks } from "../../../sys/netlink/links.ts";
import { pipe } from "../../../sys/pipe.ts";
import {
  CLONE_NEWNET,
  CLONE_NEWNS,
  clone,
  getcwd,
  getpid,
  pidfdSendSignal,
  SIGKILL,
  waitForChild,
} from "../../../sys/process.ts";
import { writeSync } from "../../../sys/program.ts";
import { assert, assertEqual, runTests } from "../../../sys/testing/native-test.ts";
import { utf8Decode } from "../../../sys/utf8.ts";
import { cleanUpSandbox } from "../../clean-up.ts";
import { openSandbox } from "../../open-sandbox.ts";
import { sandboxPaths } from "../../sandbox-paths.ts";
import { HOST_ADDRESS, POD_MAC, POD_MTU, testNetwork } from "../../testing/test-network.ts";
import {
  expectNoTraces,
  readAll,
  TestLogger,
  testConfiguration,
  testId,
  testPlace,
  testSpec,
  vmTest,
} from "../../testing/test-pod.ts";

unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);

const TEMPLATES = `/run/kata-fc-template-test.${getpid()}`;
const STAND_IN = `${getcwd()}/build/test/stand-in-firecracker`;

function configuration(template: boolean) {
  const base = defaultConfiguration("firecracker");
  const { kernel, initrd, default_memory, default_vcpus } = testConfiguration().hypervisor;
  return {
    ...base,
    hypervisor: {
      ...base.hypervisor,
      ...{ kernel, initrd, default_memory, default_vcpus, image: "" },
      path: STAND_IN,
      jailer_path: `${STAND_IN}-jailer`,
    },
    factory: { ...base.factory, enable_template: template, template_path: TEMPLATES },
  };
}

function podSpec(rootfs: string, network: string, script: string): Spec {
  return {
    ...testSpec(rootfs, ["sh", "-c", script]),
    linux: {
      namespaces: [{ type: "pid" }, { type: "mount" }, { type: "uts" }, { type: "network", path: network }],
    },
  };
}

/** Runs a script in a pod of its own, with a network. @returns what it says, and how the machine came to be. */
async function run(
  script: string,
  template: boolean,
): Promise<{ readonly output: string; readonly kind: string }> {
  using network = testNetwork();
  using place = testPlace();
  const id = testId();
  const logger = new TestLogger();
  const spec = podSpec(place.rootfs, network.path, script);
  const sandbox = await openSandbox({
    id,
    configuration: configuration(template),
    spec,
    bundle: place.path,
    logger,
  });
  try {
    await sandbox.createContainer({ id, bundle: place.path, spec, rootfs: [] });
    await sandbox.startContainer(id);
    const output = utf8Decode(await readAll(sandbox, id));
    assertEqual((await sandbox.wait({ containerId: id, execId: "" })).status, 0, output);
    const kind = /"machine":"(\w+)"/.exec(logger.lines.join("\n"))?.[1] ?? "";
    return {
      output,
      kind: `${kind} ${logger
        .of("warn")
        .filter((line) => line.includes("clone"))
        .join()}`.trim(),
    };
  } finally {
    await sandbox.stop();
    await expectNoTraces(id);
    assertEqual(
      listLinks(network.inside).map(({ name }) => name),
      ["lo", "eth0"],
      "links",
    );
  }
}

const WHO = [
  "cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu",
  "cat /proc/sys/kernel/random/boot_id",
  "head -c 16 /dev/urandom | md5sum",
  "hostname",
  "grep ' / ' /proc/mounts | head -1",
  `ping -c 1 -W 10 ${HOST_ADDRESS}`,
].join("; ");

function check(output: string): { readonly boot: string; readonly random: string } {
  const [address, mtu, boot = "", random = "", host, root = ""] = output.split("\n");
  assertEqual([address, mtu, host], [POD_MAC, String(POD_MTU), "box"], output);
  assert(root.startsWith("/dev/vda / ext4"), `the root is a disk that was made for it: ${root}`);
  assert(output.includes("1 packets received"), output);
  return { boot, random };
}

vmTest("a pod boots in a jail, with its network and a disk that is made of its root filesystem", async () => {
  const { output, kind } = await run(WHO, false);
  assertEqual(kind, "booted");
  check(output);
});

vmTest("pods are clones of a machine that was saved once, and differ from each other", async () => {
  try {
    const [first, second] = [await run(WHO, true), await run(WHO, true)];
    assertEqual([first.kind, second.kind], ["cloned", "cloned"]);
    const [one, two] = [check(first.output), check(second.output)];
    assert(one.boot !== two.boot, `boot ids: ${one.boot}`);
    assert(one.random !== two.random, `random bytes: ${one.random}`);
    assertEqual(readDirectory(TEMPLATES).filter(({ name }) => name.endsWith("-1")).length, 1, "templates");
  } finally {
    removeTree(TEMPLATES);
  }
});

vmTest("after kill -9 of the shim the jail, the tap and the disks go with a clean-up", async () => {
  using network = testNetwork();
  using place = testPlace();
  using ready = pipe();
  const id = testId();
  const spec = podSpec(place.rootfs, network.path, "sleep 100");
  const shim = clone({ flags: 0 });
  if (shim.role === "child") {
    loop.abandon();
    const parts = { id, configuration: configuration(false), spec, bundle: place.path };
    const sandbox = await openSandbox({ ...parts, logger: new TestLogger() });
    await sandbox.createContainer({ id, bundle: place.path, spec, rootfs: [] });
    writeSync(ready.writer.fd, "ready");
    await new Promise(() => undefined);
    return;
  }
  ready.writer.close();
  await loop.readable(ready.reader.fd);
  loop.forget(ready.reader.fd);
  const { run: directory, disks } = sandboxPaths(id);
  assert(exists(`${directory}/jailer`) && exists(disks), "the shim has come as far as a container");
  pidfdSendSignal(shim.pidfd, SIGKILL);
  await waitForChild(shim.pidfd, shim.pid);
  shim.pidfd.close();
  await cleanUpSandbox(id);
  await expectNoTraces(id);
  assertEqual([exists(directory), exists(disks)], [false, false]);
  assertEqual(
    listLinks(network.inside).map(({ name }) => name),
    ["lo", "eth0"],
    "links",
  );
});

runTests();
