/**
 * Whole pods whose Cloud Hypervisor is a user of its own, with its stand-in: network, shared directory, disks that come and go, and what
 * that user cannot do. Needs our guest (`npm run image`) and the stand-in.
 */

import { type Configuration, defaultConfiguration } from "../../../config/index.ts";
import { describeError, hasCode } from "../../../kata-error.ts";
import type { Spec } from "../../../oci/types.ts";
import { sleep } from "../../../sys/clock.ts";
import { loop } from "../../../sys/event-loop.ts";
import {
  chmod,
  exists,
  lstat,
  mkdirAll,
  readDirectory,
  readTextFile,
  removeTree,
  stat,
  writeFile,
} from "../../../sys/files.ts";
import { MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_REC, mount } from "../../../sys/mount.ts";
import { unshare } from "../../../sys/namespaces.ts";
import { CLONE_NEWNET, CLONE_NEWNS, getcwd, getpid } from "../../../sys/process.ts";
import { spawn } from "../../../sys/spawn.ts";
import { assert, assertEqual, assertThrows, runTests } from "../../../sys/testing/native-test.ts";
import { utf8Decode } from "../../../sys/utf8.ts";
import { openSandbox } from "../../open-sandbox.ts";
import { MountRoom } from "../../storage/mount-room.ts";
import { loopDevice, makeExt4, makeSparseFile, runTool } from "../../testing/host-tools.ts";
import { HOST_ADDRESS, POD_MAC, testNetwork } from "../../testing/test-network.ts";
import {
  expectNoTraces,
  readAll,
  TestLogger,
  type TestPlace,
  testConfiguration,
  testId,
  testPlace,
  testSpec,
  vmTest,
} from "../../testing/test-pod.ts";
import type { RootfsMount, Sandbox } from "../../types.ts";
import { becomeMonitorUser } from "../monitor-user.ts";

unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);
// As systemd has it: no node of a device is of use there.
mkdirAll("/run/user");
mount("tmpfs", "/run/user", "tmpfs", MS_NODEV | MS_NOSUID);

const STAND_IN = `${getcwd()}/build/test/stand-in-cloud-hypervisor`;
const TEMPLATES = `/run/kata-clh-rootless-test.${getpid()}`;
/** An emulated guest on a busy host, until its program has written something, ms. */
const WRITE_MS = 20_000;

function configuration(changes: Partial<Configuration["hypervisor"]> = {}): Configuration {
  const base = defaultConfiguration("clh");
  const { kernel, initrd, default_memory, default_vcpus } = testConfiguration().hypervisor;
  return {
    ...base,
    hypervisor: {
      ...base.hypervisor,
      ...{ kernel, initrd, default_memory, default_vcpus, image: "" },
      path: STAND_IN,
      rootless: true,
      // An emulated guest on a busy host takes its time.
      kernel_params: "agent.hotplug_timeout=30",
      ...changes,
    },
    // Asked for, so that it is seen that there is none.
    factory: { ...base.factory, enable_template: true, template_path: TEMPLATES },
  };
}

interface Pod {
  readonly id: string;
  readonly sandbox: Sandbox;
  readonly place: TestPlace;
  readonly network: string;
  readonly logger: TestLogger;
  /** Of the monitor and of what it has started. */
  readonly pids: readonly number[];
}

async function withPod(body: (pod: Pod) => Promise<void>, config = configuration()): Promise<void> {
  using network = testNetwork();
  using place = testPlace();
  const id = testId();
  const logger = new TestLogger();
  const before = users();
  const spec = podSpec(place.rootfs, network.path, "true");
  const sandbox = await openSandbox({ id, configuration: config, spec, bundle: place.path, logger });
  try {
    const pids = [sandbox.hypervisorPid, ...childrenOf(sandbox.hypervisorPid)];
    await body({ id, sandbox, place, network: network.path, logger, pids });
  } finally {
    await sandbox.stop();
    await expectNoTraces(id);
    assertEqual(users(), before, "directories of users");
    if (exists(TEMPLATES)) removeTree(TEMPLATES);
  }
}

/** Names below /run/user that are of monitors. */
function users(): string[] {
  if (!exists("/run/user")) return [];
  return readDirectory("/run/user")
    .map(({ name }) => name)
    .filter((name) => /^2147\d{6}$/.test(name));
}

/** The processes that `pid` has started. */
function childrenOf(pid: number): number[] {
  const text = readTextFile(`/proc/${pid}/task/${pid}/children`);
  return text.split(" ").flatMap((word) => (word === "" ? [] : [Number(word)]));
}

/** A field of /proc/PID/status. */
function statusOf(pid: number, name: string): string {
  return (
    new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(readTextFile(`/proc/${pid}/status`))?.[1]?.trim() ?? ""
  );
}

function podSpec(rootfs: string, network: string, script: string): Spec {
  return {
    ...testSpec(rootfs, ["sh", "-c", script]),
    linux: {
      namespaces: [{ type: "pid" }, { type: "mount" }, { type: "uts" }, { type: "network", path: network }],
    },
  };
}

/** Runs a shell script in a container to its end. @returns what it says. */
async function run(
  { sandbox, place, network }: Pod,
  script: string,
  change: (spec: Spec) => Spec = (spec) => spec,
  rootfs: readonly RootfsMount[] = [],
): Promise<string> {
  const id = testId();
  const spec = change(podSpec(place.rootfs, network, script));
  await sandbox.createContainer({ id, bundle: place.path, spec, rootfs });
  try {
    const output = readAll(sandbox, id);
    await sandbox.startContainer(id);
    const { status } = await sandbox.wait({ containerId: id, execId: "" });
    const text = utf8Decode(await output);
    assertEqual(status, 0, text);
    return text;
  } finally {
    await sandbox.removeContainer(id);
  }
}

/** Whether a program that is where and who the monitor is can do that. */
async function can(pid: number, ...command: readonly string[]): Promise<boolean> {
  const [uid = 0] = statusOf(pid, "Uid").split("\t").map(Number);
  const [program = ""] = command;
  using room = MountRoom.of(pid);
  const child = await spawn({
    path: program,
    args: command,
    environment: ["LANG=C"],
    descriptors: ["null", "null", "null"],
    prepare: () => {
      room.enter();
      becomeMonitorUser({ uid, gid: uid, groups: [], directory: "" });
    },
  });
  return (await child.exited).status === 0;
}

const withDevices =
  (...devices: readonly { readonly path: string; readonly host: string; readonly access: string }[]) =>
  (spec: Spec): Spec => {
    const numbers = devices.map(({ path, host, access }) => {
      const { deviceMajor: major, deviceMinor: minor } = stat(host);
      return { path, major, minor, access };
    });
    return {
      ...spec,
      linux: {
        ...spec.linux,
        devices: numbers.map(({ path, major, minor }) => ({ type: "b", path, major, minor })),
        resources: { devices: numbers.map((rule) => ({ type: "b", allow: true, ...rule })) },
      },
    };
  };

vmTest("the monitor is a user without any privilege, and its pod has network, files and disks", async () => {
  await withPod(async (pod) => {
    const { pids, place, logger } = pod;
    assertEqual(pids.length, 2, "the stand-in and its QEMU");
    const [monitor = 0] = pids;
    const uid = statusOf(monitor, "Uid").split("\t")[0] ?? "";
    assert(/^2147\d{6}$/.test(uid), `user ${uid}`);
    for (const pid of pids) {
      for (const field of ["Uid", "Gid"])
        assertEqual(statusOf(pid, field), Array(4).fill(uid).join("\t"), field);
      assertEqual([statusOf(pid, "Groups"), statusOf(pid, "NoNewPrivs")], ["", "1"], "groups and privileges");
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"])
        assertEqual(statusOf(pid, set), "0".repeat(16), set);
    }
    // There are no clones of machines for it, which is said.
    assert(
      logger.of("info").some((line) => line.includes('"machine":"booted"')),
      logger.lines.join("\n"),
    );
    assert(
      logger.of("debug").some((line) => /booted instead of cloned.*rootless is set/.test(line)),
      "the reason is logged",
    );
    const seen = await run(
      pod,
      `cat /sys/class/net/eth0/address; ping -c 1 -W 10 ${HOST_ADDRESS}; grep ' / ' /proc/mounts`,
    );
    assert(seen.startsWith(`${POD_MAC}\n`) && seen.includes("1 packets received"), seen);
    assert(seen.includes("kataShared / "), `the root is shared: ${seen}`);

    makeSparseFile(`${place.path}/written`, 4);
    makeSparseFile(`${place.path}/read`, 4);
    await using written = await loopDevice(`${place.path}/written`);
    await using read = await loopDevice(`${place.path}/read`);
    const nodes = [written.path, read.path].map((path) => lstat(path));
    const directory = `/run/user/${uid}`;
    const disks = `${directory}/disks`;
    const holding = withDevices(
      { path: "/dev/written", host: written.path, access: "rwm" },
      { path: "/dev/read", host: read.path, access: "rm" },
    );
    const container = testId();
    const spec = holding(podSpec(place.rootfs, pod.network, "echo told > /dev/written && sleep 1000"));
    await pod.sandbox.createContainer({ id: container, bundle: place.path, spec, rootfs: [] });
    try {
      await pod.sandbox.startContainer(container);
      const hasWritten = () => readTextFile(`${place.path}/written`).startsWith("told\n");
      for (let left = WRITE_MS / 20; left > 0 && !hasWritten(); left--) await sleep(loop, 20);
      assertEqual(readDirectory(disks), [], "the host sees nothing of the monitor's disks");
      assert(
        await can(monitor, "/bin/dd", `if=${disks}/disk0`, "of=/dev/null", "count=1"),
        "it reads its disk",
      );
      assert(
        await can(monitor, "/bin/dd", "if=/dev/zero", `of=${disks}/disk0`, "seek=1", "count=1"),
        "and writes it",
      );
      assert(
        await can(monitor, "/bin/dd", `if=${disks}/disk1`, "of=/dev/null", "count=1"),
        "and reads the other",
      );
      writeFile(`${place.path}/note`, "root's", 0o600);
      const ofRoot = [
        ["/bin/dd", `if=${written.path}`, "of=/dev/null", "count=1"],
        ["/bin/ls", `/run/kata/${pod.id}`],
        ["/bin/cat", `${place.path}/note`],
      ] as const;
      for (const [program, ...args] of ofRoot) await runTool(program, ...args);
      const denied: readonly (readonly string[])[] = [
        ["/bin/dd", "if=/dev/zero", `of=${disks}/disk1`, "count=1"],
        ["/bin/chmod", "666", `${disks}/disk1`],
        ["/bin/ls", disks],
        ["/bin/touch", `${disks}/other`],
        ...ofRoot,
        ["/bin/mknod", `${directory}/disk`, "b", "7", "0"],
        ["/bin/umount", disks],
      ];
      for (const command of denied)
        assert(!(await can(monitor, ...command)), `not allowed: ${command.join(" ")}`);
    } finally {
      await pod.sandbox.removeContainer(container);
    }
    assert(!(await can(monitor, "/bin/cat", `${disks}/disk0`)), "its node goes with the disk");
    assert(
      readTextFile(`${place.path}/written`).startsWith("told\n"),
      "what the guest wrote is on the host's disk",
    );
    assertEqual(
      [written.path, read.path].map((path) => lstat(path)).map(ownership),
      nodes.map(ownership),
      "nodes",
    );
  });
});

const ownership = ({ mode, uid, gid }: ReturnType<typeof lstat>) => [mode, uid, gid];

vmTest(
  "a file is a disk of its if its mode lets that user in, wherever it lies; else it is refused by name",
  async () => {
    await withPod(async (pod) => {
      const { place, pids } = pod;
      const [uid = ""] = statusOf(pids[0] ?? 0, "Uid").split("\t");
      const secret = `${place.path}/secret`;
      await runTool("/bin/mkdir", "-m", "700", secret);
      const image = `${secret}/root.img`;
      await makeExt4(image, 16, place.rootfs);
      chmod(image, 0o644);
      const from = (options: readonly string[]) => [
        { type: "ext4", source: image, target: "", options: ["loop", ...options] },
      ];
      const script = "grep ' / ' /proc/mounts";
      const seen = await run(
        pod,
        script,
        (spec) => ({ ...spec, root: { path: "rootfs", readonly: true } }),
        from(["ro"]),
      );
      assert(/^\/dev\/vd[a-z] \/ ext4 ro/m.test(seen), seen);
      await assertThrows(
        () => run(pod, script, undefined, from(["rw"])),
        (error) => {
          const said = describeError(error);
          return (
            hasCode(error, "failed-precondition") &&
            said.includes(`${image} may not be written by user ${uid}`)
          );
        },
        "a file that the user may only read",
      );
      chmod(image, 0o600);
      await assertThrows(
        () => run(pod, script, undefined, from(["ro"])),
        (error) => describeError(error).includes(`${image} may not be read by user ${uid}`),
        "a file that it may not even read",
      );
      chmod(image, 0o666);
      const again = await run(pod, `echo kept > /kept; ${script}`, undefined, from(["rw"]));
      assert(/^\/dev\/vd[a-z] \/ ext4 rw/m.test(again), again);
      assertEqual(
        (await runTool("/usr/sbin/debugfs", "-R", "cat /kept", image)).trimEnd().split("\n").at(-1),
        "kept",
      );
      assertEqual([stat(image).uid, stat(image).gid], [0, 0], "the file stays its owner's");
    });
  },
);

vmTest("a disk that is made for the pod is the user's, and gone after it", async () => {
  await withPod(
    async (pod) => {
      const seen = await run(pod, "echo kept > /kept; cat /kept; grep ' / ' /proc/mounts");
      assert(/^kept\n\/dev\/vd[a-z] \/ ext4 rw/.test(seen), seen);
    },
    configuration({ shared_fs: "none" }),
  );
});

vmTest("its memory comes by virtio-mem for a container, and goes after it", async () => {
  await withPod(
    async (pod) => {
      const total = async (change?: (spec: Spec) => Spec) =>
        Number(/MemTotal: *(\d+) kB/.exec(await run(pod, "cat /proc/meminfo", change))?.[1]);
      // Without any container the machine is about to end, and keeps its size.
      const [id, spec] = [testId(), podSpec(pod.place.rootfs, pod.network, "sleep 1000")];
      await pod.sandbox.createContainer({ id, bundle: pod.place.path, spec, rootfs: [] });
      const before = await total();
      const limit = (spec: Spec): Spec => ({
        ...spec,
        linux: { ...spec.linux, resources: { memory: { limit: 256n << 20n } } },
      });
      assert((await total(limit)) > before + (200 << 10), "the container has its memory");
      // The machine shrinks once the container is gone.
      let after = await total();
      for (let tries = 0; tries < 20 && after > before + (64 << 10); tries++) after = await total();
      assert(after <= before + (64 << 10), `${after} KiB after, ${before} before`);
    },
    configuration({ enable_virtio_mem: true }),
  );
});

vmTest(
  "what only root can read of the guest's own files is refused with the command that helps",
  async () => {
    using place = testPlace();
    const kernel = `${place.path}/kernel`;
    await runTool("/bin/cp", configuration().hypervisor.kernel, kernel);
    chmod(kernel, 0o600);
    await assertThrows(
      () => withPod(async () => undefined, configuration({ kernel })),
      (error) =>
        hasCode(error, "invalid-configuration") &&
        describeError(error).includes(`chmod o+r ${kernel}, for kernel of [hypervisor.clh]`),
      "a kernel that only root can read",
    );
    chmod(kernel, 0o644);
    chmod(place.path, 0o700);
    await assertThrows(
      () => withPod(async () => undefined, configuration({ kernel })),
      (error) => describeError(error).includes(`chmod o+x ${place.path}, for kernel`),
      "a kernel in a directory that only root can go through",
    );
  },
);

runTests();
