/** A sandbox whose machine follows its containers' limits, with a real guest (`npm run image`). */
import type { Configuration } from "../config/index.ts";
import { hasCode } from "../kata-error.ts";
import type { LinuxResources } from "../oci/types.ts";
import { sleep } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { exists, readTextFile } from "../sys/files.ts";
import { assert, assertEqual, assertThrows, runTests } from "../sys/testing/native-test.ts";
import { utf8Decode } from "../sys/utf8.ts";
import { openSandbox } from "./open-sandbox.ts";
import { cgroupMounts, podGroupPath } from "./resources/host-cgroup.ts";
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
import type { Sandbox } from "./types.ts";

const MIB = 1 << 20;
/** The guest's own size without any container, MiB. */
const BOOT_MIB = 256;
/** Shrinking goes on in the background, ms. */
const SHRINK_DEADLINE_MS = 20_000;

interface Guest extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly logger: TestLogger;
  /** The group of the machine's CPUs in each of the host's hierarchies of version 1. */
  readonly groups: readonly string[];
  create(resources: LinuxResources): Promise<string>;
  /** Memory that the guest's kernel has, MiB, and CPUs that are online. */
  size(): Promise<{ readonly memoryMib: number; readonly cpus: string }>;
  shell(script: string, id?: string): Promise<string>;
}

/** A sandbox with a container without limits. */
async function guest(
  changes: Partial<Configuration["hypervisor"]>,
  runtime: Partial<Configuration["runtime"]> = {},
): Promise<Guest> {
  const place = testPlace();
  const id = testId();
  const logger = new TestLogger();
  const base = testConfiguration({ default_maxvcpus: 2, default_maxmemory: 2048, ...changes });
  const configuration = { ...base, runtime: { ...base.runtime, ...runtime } };
  const spec = testSpec(place.rootfs, ["sleep", "1000"]);
  const sandbox = await openSandbox({ id, configuration, spec, bundle: place.path, logger });
  const create = async (resources: LinuxResources, name = testId()): Promise<string> => {
    const own = testSpec(place.rootfs, ["sleep", "1000"]);
    await sandbox.createContainer({
      id: name,
      bundle: place.path,
      spec: { ...own, linux: { ...own.linux, resources } },
      rootfs: [],
    });
    await sandbox.startContainer(name);
    return name;
  };
  await create({}, id);
  const shell = async (script: string, containerId = id): Promise<string> => {
    const execId = testId();
    const { process } = testSpec(place.rootfs, ["sh", "-c", script]);
    assert(process !== undefined, "there is a process");
    await sandbox.exec({ containerId, execId, process });
    return utf8Decode(await readAll(sandbox, containerId, execId)).trim();
  };
  const path = podGroupPath(id, spec.linux?.cgroupsPath);
  const groups = ["cpu", "cpuset"].flatMap((name) => {
    const mount = cgroupMounts().get(name);
    return mount === undefined ? [] : [`${mount}${path}`];
  });
  return {
    sandbox,
    logger,
    groups,
    create: (resources) => create(resources),
    shell,
    async size() {
      const text = await shell("head -1 /proc/meminfo; cat /sys/devices/system/cpu/online");
      const [, kilobytes = "0", cpus = ""] = /^MemTotal: +(\d+) kB\n(.*)$/.exec(text) ?? [];
      return { memoryMib: Math.round(Number(kilobytes) / 1024), cpus };
    },
    async [Symbol.asyncDispose]() {
      await sandbox.stop();
      await expectNoTraces(id);
      assertEqual(groups.filter(exists), [], "groups of its CPUs");
      place[Symbol.dispose]();
    },
  };
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const end = loop.now() + SHRINK_DEADLINE_MS;
  while (!(await condition())) {
    assert(loop.now() < end, `within ${SHRINK_DEADLINE_MS} ms: ${what}`);
    await sleep(loop, 50);
  }
}

/** A guest's MemTotal is less than the machine's memory by what the kernel keeps, and that by little more for each growth. */
function assertGrown(memoryMib: number, before: number, byMib: number): void {
  const grown = memoryMib - before;
  assert(grown <= byMib && grown >= byMib * 0.95, `grew by ${grown} MiB, not by about ${byMib}`);
}

vmTest("the machine grows in modules for a container and its update, and shrinks after it", async () => {
  await using here = await guest({ memory_slots: 2, reclaim_guest_freed_memory: true });
  const boot = await here.size();
  assert(boot.memoryMib > BOOT_MIB * 0.75, `${boot.memoryMib} MiB are no less than 256 less the kernel`);
  assertEqual(boot.cpus, "0");

  const second = await here.create({ cpu: { quota: 50_000, period: 100_000 }, memory: { limit: 200 * MIB } });
  const grown = await here.size();
  assertEqual(grown.cpus, "0-1", "a fraction of a CPU is one more");
  assertGrown(grown.memoryMib, boot.memoryMib, 256);
  assertEqual(
    await here.shell("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max", second),
    `${200 * MIB}\n50000 100000`,
  );

  // The split of the overhead: the threads that run the guest, and no other of QEMU.
  for (const group of here.groups) {
    const threads = readTextFile(`${group}/tasks`).trim().split("\n");
    assertEqual(threads.length, 2, `threads in ${group}`);
    assert(!threads.includes(String(here.sandbox.hypervisorPid)), "QEMU's main thread is not among them");
  }
  await here.sandbox.update(second, { cpu: { cpus: "0" } });
  for (const group of here.groups.filter((name) => exists(`${name}/cpuset.cpus`))) {
    assertEqual(readTextFile(`${group}/cpuset.cpus`).trim(), "0");
  }

  await here.sandbox.update(second, { memory: { limit: 500 * MIB } });
  const updated = await here.size();
  assertGrown(updated.memoryMib, boot.memoryMib, 512);
  assertEqual(await here.shell("cat /sys/fs/cgroup/memory.max", second), `${500 * MIB}`);

  // Both slots are taken.
  await assertThrows(
    () => here.create({ memory: { limit: 900 * MIB } }),
    (error) => hasCode(error, "resource-exhausted"),
    "resource-exhausted",
  );
  await assertThrows(
    () => here.sandbox.update(second, { memory: { limit: 900 * MIB } }),
    (error) => hasCode(error, "resource-exhausted"),
    "resource-exhausted",
  );
  assertEqual(await here.size(), updated, "nothing has changed");
  assertEqual(await here.shell("cat /sys/fs/cgroup/memory.max", second), `${500 * MIB}`);
  // What the guest's own memory has no room for is really there.
  assertEqual(
    await here.shell("dd if=/dev/zero of=/dev/null bs=400M count=1 2>/dev/null; echo $?", second),
    "0",
  );

  await here.sandbox.signal({ containerId: second, execId: "" }, 9, true);
  await here.sandbox.wait({ containerId: second, execId: "" });
  await here.sandbox.removeContainer(second);
  await until("the memory has gone", async () => (await here.size()).memoryMib <= boot.memoryMib + 8);
  assertEqual(here.logger.of("error"), []);
});

vmTest("the machine grows and shrinks by virtio-mem in small pieces", async () => {
  await using here = await guest({ enable_virtio_mem: true }, { sandbox_cgroup_only: true });
  // All of its programs are in one group, which opens no device of the host but the machine's.
  const devices = here.groups
    .map((group) => group.replace("/cgroup/cpuset/", "/cgroup/devices/"))
    .find((group) => exists(`${group}/devices.list`));
  if (devices !== undefined) {
    assert(!readTextFile(`${devices}/devices.list`).includes("a *:*"), "devices are restricted");
    const members = readTextFile(`${devices}/cgroup.procs`).trim().split("\n");
    assert(members.includes(String(here.sandbox.hypervisorPid)), "QEMU is in the group");
  }
  const boot = await here.size();
  const second = await here.create({ memory: { limit: 100 * MIB } });
  assertGrown((await here.size()).memoryMib, boot.memoryMib, 100);
  await here.sandbox.update(second, { memory: { limit: 700 * MIB } });
  assertGrown((await here.size()).memoryMib, boot.memoryMib, 700);
  await here.sandbox.update(second, { memory: { limit: 64 * MIB } });
  await until("most of it has gone", async () => (await here.size()).memoryMib <= boot.memoryMib + 128);
  assertEqual(
    here.logger.of("warn").filter((line) => !/emulat|cloned/.test(line)),
    [],
  );
});

runTests();
