/**
 * Whole pods with Cloud Hypervisor's stand-in: booted, and cloned from one that was saved, with a shared directory and without. Needs our
 * guest (`npm run image`) and the stand-in.
 */

import { defaultConfiguration } from "../../../config/index.ts";
import type { Spec } from "../../../oci/types.ts";
import { readDirectory, removeTree } from "../../../sys/files.ts";
import { MS_PRIVATE, MS_REC, mount } from "../../../sys/mount.ts";
import { unshare } from "../../../sys/namespaces.ts";
import { listLinks } from "../../../sys/netlink/links.ts";
import { CLONE_NEWNET, CLONE_NEWNS, getcwd, getpid } from "../../../sys/process.ts";
import { assert, assertEqual, runTests } from "../../../sys/testing/native-test.ts";
import { utf8Decode } from "../../../sys/utf8.ts";
import { openSandbox } from "../../open-sandbox.ts";
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

const TEMPLATES = `/run/kata-clh-template-test.${getpid()}`;
const STAND_IN = `${getcwd()}/build/test/stand-in-cloud-hypervisor`;

type SharedFs = "virtio-fs" | "none";

function configuration(template: boolean, sharedFs: SharedFs) {
  const base = defaultConfiguration("clh");
  const { kernel, initrd, default_memory, default_vcpus } = testConfiguration().hypervisor;
  return {
    ...base,
    hypervisor: {
      ...base.hypervisor,
      ...{ kernel, initrd, default_memory, default_vcpus, image: "" },
      path: STAND_IN,
      shared_fs: sharedFs,
      // An emulated guest on a busy host takes its time.
      kernel_params: "agent.hotplug_timeout=30",
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
  sharedFs: SharedFs,
  change: (spec: Spec) => Spec = (spec) => spec,
): Promise<{ readonly output: string; readonly kind: string }> {
  using network = testNetwork();
  using place = testPlace();
  const id = testId();
  const logger = new TestLogger();
  const spec = change(podSpec(place.rootfs, network.path, script));
  const sandbox = await openSandbox({
    id,
    configuration: configuration(template, sharedFs),
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

function check(output: string, sharedFs: SharedFs): { readonly boot: string; readonly random: string } {
  const [address, mtu, boot = "", random = "", host, root = ""] = output.split("\n");
  assertEqual([address, mtu, host], [POD_MAC, String(POD_MTU), "box"], output);
  assert(root.startsWith(sharedFs === "none" ? "/dev/vda / ext4" : "kataShared / "), `root: ${root}`);
  assert(output.includes("1 packets received"), output);
  return { boot, random };
}

for (const sharedFs of ["virtio-fs", "none"] as const) {
  vmTest(
    `pods are clones of a machine that was saved once, and differ, with shared_fs = ${sharedFs}`,
    async () => {
      try {
        const booted = await run(WHO, false, sharedFs);
        assertEqual(booted.kind, "booted");
        check(booted.output, sharedFs);
        const [first, second] = [await run(WHO, true, sharedFs), await run(WHO, true, sharedFs)];
        assertEqual([first.kind, second.kind], ["cloned", "cloned"]);
        const [one, two] = [check(first.output, sharedFs), check(second.output, sharedFs)];
        assert(one.boot !== two.boot, `boot ids: ${one.boot}`);
        assert(one.random !== two.random, `random bytes: ${one.random}`);
        assertEqual(
          readDirectory(TEMPLATES).filter(({ name }) => name.endsWith("-1")).length,
          1,
          "templates",
        );
      } finally {
        removeTree(TEMPLATES);
      }
    },
  );
}

vmTest("a clone grows for a container as a machine that was booted does", async () => {
  try {
    const script = "grep MemTotal /proc/meminfo; sleep 0.1";
    const limit = (spec: Spec): Spec => ({
      ...spec,
      linux: { ...spec.linux, resources: { memory: { limit: 256n << 20n } } },
    });
    const small = await run(script, true, "virtio-fs");
    const large = await run(script, true, "virtio-fs", limit);
    assertEqual([small.kind, large.kind], ["cloned", "cloned"]);
    const kib = (output: string) => Number(/MemTotal: *(\d+) kB/.exec(output)?.[1]);
    assert(kib(large.output) > kib(small.output) + (200 << 10), `${small.output}${large.output}`);
  } finally {
    removeTree(TEMPLATES);
  }
});

runTests();
