/**
 * A container's cgroup on the real kernel: with version 1 where the machine has its controllers, and with version 2 as far as
 * a hierarchy without controllers goes, which a hybrid host has.
 */
import { hasCode } from "../../kata-error.ts";
import type { LinuxResources, Spec } from "../../oci/types.ts";
import { sleep, withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { exists, mkdirAll, readDirectory, readTextFile, stat, writeExisting } from "../../sys/files.ts";
import { readMountInfo } from "../../sys/mountinfo.ts";
import { getpid, SIGKILL } from "../../sys/process.ts";
import { exit } from "../../sys/program.ts";
import { type ChildProcess, spawn } from "../../sys/spawn.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { type CgroupRoom, type ContainerCgroup, makeCgroupRoom } from "../container/container-cgroup.ts";
import { processesIn, removeTree } from "./cgroup-directory.ts";
import { delegateCgroup } from "./delegate.ts";
import { type CgroupSystem, findCgroups } from "./hierarchies.ts";

const MIB = 1 << 20;
const mounts = readMountInfo();
const machine = findCgroups(mounts);
const unified = mounts.find(({ type }) => type === "cgroup2")?.mountPoint;
const systems: readonly CgroupSystem[] = [
  ...(machine.version === 1 ? [machine] : []),
  ...(unified === undefined ? [] : [{ version: 2, mountPoint: unified } as const]),
];

const spec = (resources: LinuxResources = {}, cgroupsPath = ""): Spec => ({
  ociVersion: "1.1.0",
  linux: { resources, cgroupsPath },
});

/** A room that is closed at the end of the scope. */
function room(system: CgroupSystem): CgroupRoom & AsyncDisposable {
  const name = `kata-cgroup-test-${getpid()}`;
  const made = makeCgroupRoom(name, system);
  return {
    ...made,
    async [Symbol.asyncDispose]() {
      await made.close();
      for (const directory of directories(system, name)) assert(!exists(directory), `${directory} is gone`);
    },
  };
}

function directories(system: CgroupSystem, relative: string): string[] {
  const mountPoints =
    system.version === 1 ? system.hierarchies.map(({ mountPoint }) => mountPoint) : [system.mountPoint];
  return mountPoints.map((mountPoint) => `${mountPoint}/${relative}`);
}

/** The directories that the container sees. */
function ownDirectories({ visible }: ContainerCgroup): string[] {
  return visible.version === 2 ? [visible.directory] : visible.hierarchies.map(({ directory }) => directory);
}

/** A process in `cgroup`; it ends with this program. */
async function sleeper(cgroup: ContainerCgroup, ...args: string[]): Promise<ChildProcess> {
  const child = await spawn({
    path: "/bin/sh",
    args: ["sh", "-c", args.length === 0 ? "exec sleep 1000" : args.join(" ")],
    environment: ["PATH=/usr/bin:/bin"],
    descriptors: ["null", "null", "null"],
    parentDeathSignal: SIGKILL,
    prepare: () => cgroup.add(getpid()),
  });
  return child;
}

const status = async (child: ChildProcess): Promise<number> =>
  (await withDeadline(loop, 5000, { operation: "wait for", object: "child" }, child.exited)).status;

/** State of a process by /proc: `S` sleeps, `D` and `T` as well as a frozen one do not run. */
function cpuTicks(pid: number): number {
  const fields = readTextFile(`/proc/${pid}/stat`).split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

if (unified !== undefined) {
  test("in a guest a cgroup without processes stays from before the first container to the end of the room", async () => {
    const mountPoint = `${unified}/kata-cgroup-guest-${getpid()}`;
    mkdirAll(mountPoint);
    try {
      const cgroups = makeCgroupRoom("", { version: 2, mountPoint });
      const kept = () => readDirectory(mountPoint).filter(({ type }) => type === "directory");
      cgroups.prepare();
      assertEqual(
        kept().map(({ name }) => name),
        ["kept"],
      );
      const cgroup = await cgroups.create("one", spec());
      await cgroup.remove();
      assertEqual(
        kept().map(({ name }) => name),
        ["kept"],
      );
      assertEqual(processesIn(`${mountPoint}/kept`), []);
      await cgroups.close();
      assertEqual(kept(), []);
    } finally {
      await removeTree(mountPoint);
    }
  });
}

for (const system of systems) {
  const version = `version ${system.version}`;

  test(`${version}: processes are added, frozen, thawed and killed, and nothing is left`, async () => {
    await using cgroups = room(system);
    const cgroup = await cgroups.create("one", spec());
    const busy = await sleeper(cgroup, "while :; do :; done");
    for (const directory of ownDirectories(cgroup))
      assertEqual(processesIn(directory), [busy.pid], directory);
    await cgroup.freeze();
    const before = cpuTicks(busy.pid);
    await sleep(loop, 100);
    assertEqual(cpuTicks(busy.pid), before, "CPU time while it is frozen");
    await cgroup.thaw();
    while (cpuTicks(busy.pid) === before) await sleep(loop, 5);
    await cgroup.freeze();
    await cgroup.killAll();
    assertEqual(await status(busy), 128 + SIGKILL);
    await cgroup.remove();
    for (const directory of ownDirectories(cgroup)) assert(!exists(directory), `${directory} is gone`);
    await cgroup.killAll();
  });

  test(`${version}: killing reaches processes in cgroups that the container has made, and removal takes them away`, async () => {
    await using cgroups = room(system);
    const cgroup = await cgroups.create("deep", spec({}, "/a/b/deep"));
    const child = await sleeper(cgroup);
    for (const directory of ownDirectories(cgroup)) {
      assert(directory.endsWith("/a/b/deep"), directory);
      mkdirAll(`${directory}/in/side`);
      // A cpuset has to get CPUs first.
      for (const below of [`${directory}/in`, `${directory}/in/side`]) {
        for (const file of ["cpuset.cpus", "cpuset.mems"]) {
          if (!exists(`${below}/${file}`) || system.version === 2) continue;
          writeExisting(`${below}/${file}`, readTextFile(`${directory}/${file}`).trim());
        }
      }
      writeExisting(`${directory}/in/side/cgroup.procs`, String(child.pid));
    }
    await cgroup.killAll();
    assertEqual(await status(child), 128 + SIGKILL);
    await cgroup.remove();
    for (const directory of directories(system, `kata-cgroup-test-${getpid()}/a`)) {
      assert(!exists(directory), `${directory} is gone`);
    }
  });

  test(`${version}: devices are used as the rules say, also after a change`, async () => {
    await using cgroups = room(system);
    const cgroup = await cgroups.create("devices", spec());
    // 10:200 is the machine's /dev/net/tun, which no container has by default.
    const opens = async () =>
      await status(await sleeper(cgroup, ": < /dev/null && : > /dev/full && : < /dev/net/tun"));
    const cgroupAllows = { allow: true, type: "c", major: 10, minor: 200, access: "rwm" } as const;
    try {
      assert((await opens()) !== 0, "the device is refused");
      assertEqual(
        await status(await sleeper(cgroup, ": < /dev/null && : > /dev/zero")),
        0,
        "default devices",
      );
      cgroup.restrictDevices({ devices: [cgroupAllows] });
      assertEqual(await opens(), 0, "status when it is allowed");
      cgroup.restrictDevices({ devices: [] });
      assert((await opens()) !== 0, "the device is refused again");
    } finally {
      await cgroup.remove();
    }
  });

  test(`${version}: a second container with the same path is refused while processes are in it`, async () => {
    await using cgroups = room(system);
    const cgroup = await cgroups.create("first", spec({}, "/same"));
    const child = await sleeper(cgroup);
    await assertThrows(
      () => cgroups.create("second", spec({}, "/same")),
      (error) => hasCode(error, "already-exists"),
      "already-exists",
    );
    for (const directory of ownDirectories(cgroup)) assertEqual(processesIn(directory), [child.pid]);
    await cgroup.killAll();
    await status(child);
    await cgroup.remove();
  });

  test(`${version}: a limit that the kernel has not is refused, and nothing is left`, async () => {
    await using cgroups = room(system);
    await assertThrows(
      () => cgroups.create("one", spec({ rdma: { mlx5_0: { hcaHandles: 2 } } })),
      (error) => hasCode(error, "unsupported"),
      "unsupported",
    );
    for (const directory of directories(system, `kata-cgroup-test-${getpid()}/one`)) {
      assert(!exists(directory), `${directory} is gone`);
    }
  });
}

if (machine.version === 1) {
  test("version 1: limits are set, told and changed", async () => {
    await using cgroups = room(machine);
    const cgroup = await cgroups.create(
      "limits",
      spec({
        memory: { limit: 64 * MIB, reservation: 32 * MIB },
        pids: { limit: 20 },
        cpu: { shares: 512, quota: 50_000, period: 100_000, cpus: "0" },
        hugepageLimits: [{ pageSize: "2MB", limit: 0 }],
      }),
    );
    try {
      const { memory, pids } = cgroup.statistics();
      assertEqual([memory.usage.limit, pids.limit], [BigInt(64 * MIB), 20n]);
      // A shorter period needs the smaller quota first.
      cgroup.apply({ memory: { limit: 32 * MIB }, cpu: { quota: 5000, period: 5000 } });
      cgroup.apply({ memory: { limit: 128 * MIB, swap: 256 * MIB }, pids: { limit: -1 } });
      const after = cgroup.statistics();
      assertEqual([after.memory.usage.limit, after.pids.limit], [BigInt(128 * MIB), 0n]);
      const file = (controller: string, name: string) =>
        readTextFile(
          `${ownDirectories(cgroup).find((directory) => directory.includes(`/${controller}/`))}/${name}`,
        ).trim();
      assertEqual(
        [file("cpu", "cpu.cfs_period_us"), file("cpu", "cpu.cfs_quota_us"), file("cpu", "cpu.shares")],
        ["5000", "5000", "512"],
      );
      cgroup.followCpus();
      assertEqual(file("cpuset", "cpuset.cpus"), "0", "CPUs that the spec has chosen");
    } finally {
      await cgroup.remove();
    }
  });

  test("version 1: a container without CPUs of its own gets those that have come", async () => {
    await using cgroups = room(machine);
    const cgroup = await cgroups.create("cpus", spec());
    try {
      const cpuset = ownDirectories(cgroup).find((directory) => directory.includes("/cpuset/")) ?? "";
      const all = readTextFile(`${cpuset}/../cpuset.cpus`).trim();
      writeExisting(`${cpuset}/cpuset.cpus`, "0");
      cgroup.followCpus();
      assertEqual(readTextFile(`${cpuset}/cpuset.cpus`).trim(), all);
    } finally {
      await cgroup.remove();
    }
  });

  test("version 1: a process that needs more memory than there is is killed and told of", async () => {
    await using cgroups = room(machine);
    const cgroup = await cgroups.create("oom", spec({ memory: { limit: 8 * MIB, swap: 8 * MIB } }));
    let events = 0;
    const failures: unknown[] = [];
    cgroup.watchOom(
      () => events++,
      (error) => failures.push(error),
    );
    try {
      const child = await sleeper(cgroup, "head -c 64000000 /dev/zero | tail -c 64000000");
      assertEqual(await status(child), 128 + SIGKILL);
      while (events === 0) await sleep(loop, 1);
    } finally {
      await cgroup.remove();
    }
    const told = events;
    await sleep(loop, 20);
    assertEqual(events, told, "events after the removal");
    assertEqual(failures, []);
  });
}

for (const system of systems) {
  test(`a cgroup of version ${system.version} is given to a container's own root where it can divide it`, async () => {
    await using made = room(system);
    const cgroup = await made.create("delegated", spec());
    delegateCgroup(cgroup.visible, { uid: 100_000, gid: 100_001 });
    const [directory = ""] = ownDirectories(cgroup);
    const owners = ["", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads", "/cgroup.max.depth"]
      .filter((file) => exists(`${directory}${file}`))
      .map((file) => [file, stat(`${directory}${file}`).uid, stat(`${directory}${file}`).gid]);
    const own = (file: string) => [file, 100_000, 100_001];
    const expected =
      system.version === 1
        ? [
            ["", 0, 0],
            ["/cgroup.procs", 0, 0],
          ]
        : [
            own(""),
            own("/cgroup.procs"),
            own("/cgroup.subtree_control"),
            own("/cgroup.threads"),
            ["/cgroup.max.depth", 0, 0],
          ];
    assertEqual(owners, expected);
    await cgroup.remove();
  });
}

// A program without a cgroup hierarchy could not have tested anything.
if (systems.length === 0) exit(1);

runTests();
