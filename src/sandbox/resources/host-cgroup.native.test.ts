/** The host's cgroup of a sandbox on the real kernel, whatever version of cgroups it has. Needs root. */
import { hasErrno } from "../../kata-error.ts";
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { exists, readTextFile, writeExisting } from "../../sys/files.ts";
import { kernel } from "../../sys/kernel.ts";
import { clone, getpid, pidfdSendSignal, SIGKILL, waitForChild } from "../../sys/process.ts";
import { exit } from "../../sys/program.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { TestLogger } from "../testing/test-pod.ts";
import { DeviceAllowList } from "./device-allow-list.ts";
import {
  cgroupMounts,
  createHostCgroup,
  hostCgroupDirectories,
  hostCgroupPath,
  removeHostCgroup,
} from "./host-cgroup.ts";

test("hostCgroupPath() lies beside the pod's containers, or below /kata_overhead", () => {
  assertEqual(hostCgroupPath("id", "/kubepods/pod1/c1", false), "/kata_overhead/id");
  assertEqual(hostCgroupPath("id", "/kubepods/pod1/c1", true), "/kubepods/pod1/kata_c1");
  assertEqual(hostCgroupPath("id", undefined, true), "/vc/kata_id");
});

test("the group is made in every hierarchy, holds processes, and goes with its parent", async () => {
  const id = `kata-cgroup-test-${getpid()}`;
  const directories = hostCgroupDirectories(`/kata_overhead/${id}`);
  assert(directories.length > 0, "this host has cgroups");
  const logger = new TestLogger();
  assertEqual(createHostCgroup(directories, logger), directories);
  assertEqual(logger.lines, []);
  const child = clone({ flags: 0 });
  if (child.role === "child") {
    loop.abandon();
    for (const directory of directories) writeExisting(`${directory}/cgroup.procs`, "0");
    await sleep(loop, 10_000);
    return;
  }
  try {
    await sleep(loop, 50);
    for (const directory of directories) {
      assertEqual(readTextFile(`${directory}/cgroup.procs`).trim(), String(child.pid));
    }
    await assertThrows(
      () => removeHostCgroup(directories, loop),
      (error) => hasErrno(error, "EBUSY"),
      "EBUSY",
    );
  } finally {
    pidfdSendSignal(child.pidfd, SIGKILL);
    await waitForChild(child.pidfd, child.pid);
    child.pidfd.close();
  }
  await removeHostCgroup(directories, loop);
  await removeHostCgroup(directories, loop);
  assertEqual(directories.filter(exists), []);
});

test("a group that cannot be made is a warning, and nothing is left of it", () => {
  const logger = new TestLogger();
  const [first = ""] = hostCgroupDirectories(`/kata_overhead/kata-cgroup-test-${getpid()}-b`);
  // procfs is no place for a directory.
  assertEqual(createHostCgroup([first, "/proc/kata_overhead/x"], logger), []);
  assertEqual(exists(first), false);
  assertEqual(logger.of("warn").length, 1);
});

test("programs of a restricted group open the machine's devices and those that are allowed later, and no other", async () => {
  const mounts = cgroupMounts();
  const mount = mounts.get("devices") ?? mounts.get("unified");
  assert(mount !== undefined, "this host restricts devices");
  const directory = `${mount}/kata_device-test-${getpid()}`;
  const logger = new TestLogger();
  assertEqual(createHostCgroup([directory], logger), [directory]);
  const list = new DeviceAllowList(directory, logger);
  /** Statuses of a process that opens devices from within the group. */
  const tryToOpen = async (): Promise<number> => {
    const child = clone({ flags: 0 });
    if (child.role === "child") {
      loop.abandon();
      writeExisting(`${directory}/cgroup.procs`, "0");
      const opened = ["/dev/null", "/dev/kmsg"].map(
        (path) => kernel().syscall("openat", -100, path, 0, 0) >= 0,
      );
      exit((opened[0] ? 1 : 0) + (opened[1] ? 2 : 0));
    }
    const { status } = await waitForChild(child.pidfd, child.pid);
    child.pidfd.close();
    return status;
  };
  try {
    assertEqual(await tryToOpen(), 3, "both before");
    list.apply();
    assertEqual(await tryToOpen(), 1, "only /dev/null");
    list.allow("/dev/kmsg");
    list.allow("/etc/passwd");
    assertEqual(await tryToOpen(), 3, "both after");
    assertEqual(logger.lines, []);
  } finally {
    list.close();
    await removeHostCgroup([directory], loop);
  }
});

runTests();
