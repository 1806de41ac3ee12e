/** The pool as a service: what it gives away is a pod's, what is left of it goes with it. Needs build/bin/kata-runtime. */
import type { Configuration } from "../../config/index.ts";
import { hasErrno, KataError } from "../../kata-error.ts";
import { MS_PRIVATE, MS_REC } from "../../oci/mount-options.ts";
import type { Spec } from "../../oci/types.ts";
import { sleep } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import {
  exists,
  mkdirAll,
  O_RDONLY,
  open,
  readDirectory,
  readTextFileIfExists,
  removeTree,
  unlinkIfExists,
  writeFile,
} from "../../sys/files.ts";
import { mount } from "../../sys/mount.ts";
import { unshare } from "../../sys/namespaces.ts";
import { addAddress } from "../../sys/netlink/addresses.ts";
import { parseIpAddress } from "../../sys/netlink/ip-address.ts";
import { linkByName, listLinks, moveLink, setLink } from "../../sys/netlink/links.ts";
import { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { CLONE_NEWNET, CLONE_NEWNS, getcwd, getpid, kill, SIGKILL, SIGTERM } from "../../sys/process.ts";
import { bindDatagrams, listen, receiveWithDescriptors } from "../../sys/socket.ts";
import { type ChildProcess, spawn } from "../../sys/spawn.ts";
import { assert, assertEqual, runTests, test } from "../../sys/testing/native-test.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { openSandbox } from "../open-sandbox.ts";
import { HOST_ADDRESS, POD_ADDRESS, POD_MAC, testNetwork } from "../testing/test-network.ts";
import {
  expectNoTraces,
  readAll,
  TestLogger,
  testConfiguration,
  testId,
  testPlace,
  testSpec,
} from "../testing/test-pod.ts";
import { askStatus } from "./claim.ts";
import type { PoolStatus } from "./pool-protocol.ts";

// What stands for the host's network, with all links in it, ends with this program.
unshare(CLONE_NEWNS | CLONE_NEWNET);
mount(null, "/", null, MS_REC | MS_PRIVATE);

const ROOT = `/run/kata-pool-test.${getpid()}`;
const ENDPOINT = `${ROOT}/cache.sock`;
const PROGRAM = `${getcwd()}/build/bin/kata-runtime`;
/** Warming a machine at low priority, on a busy host, ms. */
const READY_MS = 150_000;
const TEST_MS = 240_000;

const configuration: Configuration = (() => {
  const base = testConfiguration();
  const factory = {
    ...base.factory,
    enable_template: true,
    template_path: `${ROOT}/templates`,
    vm_cache_number: 1,
    vm_cache_endpoint: ENDPOINT,
  };
  return { ...base, factory };
})();

/** The same for the service, which reads a file. */
function writeConfiguration(): string {
  const { hypervisor, factory } = configuration;
  const path = `${ROOT}/configuration.toml`;
  writeFile(
    path,
    `[hypervisor.qemu]
path = "${hypervisor.path}"
kernel = "${hypervisor.kernel}"
initrd = "${hypervisor.initrd}"
default_vcpus = ${hypervisor.default_vcpus}
default_memory = ${hypervisor.default_memory}
[factory]
template_path = "${factory.template_path}"
vm_cache_number = 1
vm_cache_endpoint = "${ENDPOINT}"
[agent.kata]
[runtime]
`,
  );
  return path;
}

async function startPool(): Promise<ChildProcess> {
  mkdirAll(ROOT, 0o700);
  return await spawn({
    path: PROGRAM,
    args: ["kata-runtime", "factory", "serve"],
    environment: [`KATA_CONF_FILE=${writeConfiguration()}`, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    descriptors: ["null", 2, 2],
    parentDeathSignal: SIGKILL,
  });
}

async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const end = loop.now() + READY_MS;
  while (!(await isSo())) {
    if (loop.now() > end) throw new KataError("deadline-exceeded", { operation: "wait", object: what });
    await sleep(loop, 50);
  }
}

async function status(): Promise<PoolStatus | undefined> {
  try {
    return await askStatus(ENDPOINT);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ECONNREFUSED")) return undefined;
    throw error;
  }
}

async function readyMachine(): Promise<number> {
  await until("a machine that is ready", async () => ((await status())?.ready.length ?? 0) > 0);
  return (await status())?.ready[0]?.pid ?? 0;
}

/** Of a process: how the kernel ranks its session, or undefined if it ranks none. */
const sessionPriority = (pid: number) =>
  /nice (-?\d+)/.exec(readTextFileIfExists(`/proc/${pid}/autogroup`) ?? "")?.[1];

const SIGCONT = 18;
const SIGSTOP = 19;

function parentOf(pid: number): number {
  const [, parent] = /^PPid:\s+(\d+)$/m.exec(readTextFileIfExists(`/proc/${pid}/status`) ?? "") ?? [];
  assert(parent !== undefined, `parent of ${pid}`);
  return Number(parent);
}

/** A process that has ended and is not yet reaped has no command line. */
const runs = (pid: number) => (readTextFileIfExists(`/proc/${pid}/cmdline`) ?? "") !== "";

const sharesOfPools = () => {
  const parent = "/run/kata-containers/shared/sandboxes";
  return exists(parent) ? readDirectory(parent).filter(({ name }) => name.startsWith("pool-")) : [];
};

const WHO =
  "cat /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | md5sum; hostname; ls /sys/class/net";

interface Pod {
  readonly output: string;
  readonly kind: string | undefined;
  readonly stop: () => Promise<void>;
  readonly hypervisorPid: number;
}

/** @param beforeStart may change the network of a pod that is created; `path` is its namespace's. */
async function runPod(script: string, network?: string, beforeStart?: (path: string) => void): Promise<Pod> {
  const place = testPlace();
  const id = testId();
  const logger = new TestLogger();
  const plain = testSpec(place.rootfs, ["sh", "-c", script]);
  const spec: Spec =
    network === undefined
      ? plain
      : {
          ...plain,
          linux: {
            namespaces: [
              { type: "pid" },
              { type: "mount" },
              // No path asks for a namespace that the runtime makes.
              { type: "network", ...(network === "" ? {} : { path: network }) },
            ],
          },
        };
  const sandbox = await openSandbox({ id, configuration, spec, bundle: place.path, logger });
  await sandbox.createContainer({ id, bundle: place.path, spec, rootfs: [] });
  beforeStart?.(`/proc/${sandbox.hypervisorPid}/ns/net`);
  await sandbox.startContainer(id);
  const output = utf8Decode(await readAll(sandbox, id));
  return {
    output,
    kind: /"machine":"(\w+)"/.exec(logger.lines.join("\n"))?.[1],
    hypervisorPid: sandbox.hypervisorPid,
    stop: async () => {
      await sandbox.stop();
      await expectNoTraces(id);
      place[Symbol.dispose]();
    },
  };
}

test(
  "machines of the pool are pods' own: other random bytes and boot ids, their names, and their network or none",
  async () => {
    const pool = await startPool();
    try {
      const pid = await readyMachine();
      const first = await runPod(WHO);
      assertEqual([first.kind, first.hypervisorPid], ["pooled", pid]);
      await first.stop();
      await readyMachine();
      const second = await runPod(WHO);
      assertEqual(second.kind, "pooled");
      await second.stop();
      await readyMachine();
      using network = testNetwork();
      const script = [
        "cat /sys/class/net/eth0/address",
        "ip -4 -o addr show eth0",
        `ping -c 1 -W 10 ${HOST_ADDRESS}`,
      ];
      const third = await runPod(script.join("; "), network.path);
      assertEqual(third.kind, "pooled");
      // However late the machine's keeper notices its end.
      const keeper = parentOf(third.hypervisorPid);
      kill(keeper, SIGSTOP);
      try {
        await third.stop();
        assertEqual(
          listLinks(network.inside).map(({ name }) => name),
          ["lo", "eth0"],
        );
      } finally {
        kill(keeper, SIGCONT);
      }
      assert(third.output.startsWith(`${POD_MAC}\n`), `link of ${third.output}`);
      assert(third.output.includes(`inet ${POD_ADDRESS}/24`), `address of ${third.output}`);
      assert(third.output.includes("1 packets received"), `answer of ${third.output}`);
      const [bootA, randomA, hostA, ...linksA] = first.output.trim().split("\n");
      const [bootB, randomB, hostB, ...linksB] = second.output.trim().split("\n");
      assert(bootA !== bootB && randomA !== randomB, `${first.output} and ${second.output} differ`);
      assertEqual([hostA, hostB, ...linksA, ...linksB], ["box", "box", "lo", "lo"]);
    } finally {
      pool.kill(SIGTERM);
      await pool.exited;
    }
  },
  TEST_MS,
);

test(
  "a machine of the pool gets a link that comes when its container has been created",
  async () => {
    const pool = await startPool();
    try {
      await readyMachine();
      using network = testNetwork();
      // The guest knows its first card as eth0.
      const script = `ls /sys/class/net; ip -o addr show net7; ping -c 1 -W 10 ${HOST_ADDRESS}`;
      const pod = await runPod(script, "", (path) => {
        using namespace = open(path, O_RDONLY);
        using inside = NetlinkSocket.open(namespace.fd);
        moveLink(network.inside, linkByName(network.inside, "eth0").index, "eth0", namespace.fd);
        const { index } = linkByName(inside, "eth0");
        setLink(inside, index, "eth0", { name: "net7" });
        setLink(inside, index, "net7", { up: true });
        addAddress(inside, { linkIndex: index, address: parseIpAddress(POD_ADDRESS), prefixLength: 24 });
      });
      assertEqual(pod.kind, "pooled");
      await pod.stop();
      assert(pod.output.startsWith("lo\nnet7\n"), `links of ${pod.output}`);
      assert(pod.output.includes(`inet ${POD_ADDRESS}/24`), `address of ${pod.output}`);
      assert(pod.output.includes("1 packets received"), `answer of ${pod.output}`);
    } finally {
      pool.kill(SIGTERM);
      await pool.exited;
    }
  },
  TEST_MS,
);

test(
  "a pool that is killed takes what it has kept along, and leaves what it has given away; the next one starts clean",
  async () => {
    const pool = await startPool();
    const given = await readyMachine();
    const pod = await runPod("echo here; exec sleep 1000 >/dev/null");
    assertEqual([pod.kind, pod.hypervisorPid], ["pooled", given]);
    const kept = await readyMachine();
    kill(pool.pid, SIGKILL);
    await pool.exited;
    await until("the end of the machine that was kept", () => !runs(kept));
    assert(runs(given), "the pod's machine runs on");
    // Without a pool, a pod is cloned.
    const other = await runPod("true");
    assertEqual(other.kind, "cloned");
    await other.stop();
    const again = await startPool();
    try {
      const next = await readyMachine();
      // A machine that ends before it is given away is replaced.
      kill(next, SIGKILL);
      await until("another machine", async () => {
        const ready = (await status())?.ready[0]?.pid;
        return ready !== undefined && ready !== next;
      });
    } finally {
      again.kill(SIGTERM);
      await again.exited;
    }
    await pod.stop();
    assert(!runs(given), "the pod's machine has ended with it");
    await until("nothing left of the pools", () => sharesOfPools().length === 0);
  },
  TEST_MS,
);

/** Pids of the processes that make or keep a machine for `pool`. */
function keepersOf(pool: ChildProcess): number[] {
  const children = readTextFileIfExists(`/proc/${pool.pid}/task/${pool.pid}/children`) ?? "";
  return children
    .split(" ")
    .filter((pid) => (readTextFileIfExists(`/proc/${pid}/cmdline`) ?? "").includes("\0keep\0"))
    .map(Number);
}

/** From a keeper that has just begun to one that is warming its machine, ms. */
const MOMENTS_MS = [20, 60, 90, 120, 150, 180, 210, 250, 300, 400, 600, 1000, 2000];

test(
  "a pool that is killed while it makes a machine leaves nothing of it",
  async () => {
    for (const moment of MOMENTS_MS) {
      const pool = await startPool();
      await until("a machine that is being made", () => keepersOf(pool).length > 0);
      const keepers = keepersOf(pool);
      await sleep(loop, moment);
      kill(pool.pid, SIGKILL);
      await pool.exited;
      await until(`the end of what was made for ${moment} ms`, () => !keepers.some(runs));
      assertEqual(sharesOfPools(), []);
    }
  },
  TEST_MS,
);

/** What systemd does for a service with `FileDescriptorStoreMax=`: keeps what it is sent until the service forgets it. */
class DescriptorStore implements Disposable {
  readonly kept = new Map<string, FileDescriptor>();
  isReady = false;
  readonly path = `${ROOT}/notify`;
  readonly #messages = bindDatagrams({ kind: "unix", path: this.path });

  constructor() {
    this.#receive().catch((error: unknown) => {
      if (this.#messages.isOpen) throw error;
    });
  }

  async #receive(): Promise<void> {
    const bytes = new Uint8Array(4096);
    for (;;) {
      const { count, descriptors } = await receiveWithDescriptors(this.#messages, bytes);
      const lines = utf8Decode(bytes.subarray(0, count)).split("\n");
      const name = lines.find((line) => line.startsWith("FDNAME="))?.slice("FDNAME=".length) ?? "";
      if (lines.includes("READY=1")) this.isReady = true;
      for (const descriptor of descriptors) this.kept.set(name, descriptor);
      if (!lines.includes("FDSTOREREMOVE=1")) continue;
      this.kept.get(name)?.close();
      this.kept.delete(name);
    }
  }

  [Symbol.dispose](): void {
    for (const descriptor of this.kept.values()) descriptor.close();
    loop.forget(this.#messages.fd);
    this.#messages.close();
  }
}

/** As systemd starts it: with the socket and what was kept, in no order that means something. */
async function startManagedPool(store: DescriptorStore, socket: FileDescriptor): Promise<ChildProcess> {
  store.isReady = false;
  const given: (readonly [string, FileDescriptor])[] = [
    ...[...store.kept].reverse(),
    ["kata-factory.socket", socket],
  ];
  const child = await spawn({
    path: "/bin/sh",
    args: ["sh", "-c", `LISTEN_PID=$$ exec ${PROGRAM} factory serve`],
    environment: [
      `KATA_CONF_FILE=${writeConfiguration()}`,
      "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
      `NOTIFY_SOCKET=${store.path}`,
      `LISTEN_FDS=${given.length}`,
      `LISTEN_FDNAMES=${given.map(([name]) => name).join(":")}`,
    ],
    descriptors: ["null", 2, 2, ...given.map(([, { fd }]) => fd)],
    parentDeathSignal: SIGKILL,
  });
  await until("a service that is ready", () => store.isReady);
  return child;
}

/** A machine's descriptors and what it is. */
const KEPT_OF_A_MACHINE = 9;

test(
  "machines that are ready outlive the pool's end where a manager keeps their descriptors, and end with what is given away",
  async () => {
    mkdirAll(ROOT, 0o700);
    using store = new DescriptorStore();
    // A pool that was killed could not remove its own.
    unlinkIfExists(ENDPOINT);
    using socket = listen({ kind: "unix", path: ENDPOINT });
    const first = await startManagedPool(store, socket);
    await until("a machine that is being made", () => keepersOf(first).length > 0);
    const [keeper = 0] = keepersOf(first);
    if (exists("/proc/self/autogroup")) assertEqual(sessionPriority(keeper), "10");
    const machine = await readyMachine();
    if (exists("/proc/self/autogroup")) assertEqual(sessionPriority(machine), "0");
    await until("a machine that is kept", () => store.kept.size === KEPT_OF_A_MACHINE);
    kill(first.pid, SIGKILL);
    await first.exited;
    const second = await startManagedPool(store, socket);
    try {
      assertEqual(await readyMachine(), machine);
      const pod = await runPod("echo from the machine of before");
      assertEqual(
        [pod.kind, pod.hypervisorPid, pod.output],
        ["pooled", machine, "from the machine of before\n"],
      );
      assert(
        [...store.kept.keys()].every((name) => !name.includes(`-${first.pid}-`)),
        "nobody but the pod has its machine",
      );
      await pod.stop();
      await until("the end of the pod's machine", () => !runs(machine));
      // A machine that has ended is not kept.
      const next = await readyMachine();
      await until("a machine that is kept", () => store.kept.size === KEPT_OF_A_MACHINE);
      kill(next, SIGKILL);
      await until("another one", async () => ((await status())?.ready[0]?.pid ?? next) !== next);
      await until("only that one is kept", () => store.kept.size === KEPT_OF_A_MACHINE);
    } finally {
      second.kill(SIGTERM);
      await second.exited;
    }
    // The end of the service, and not of its restart: its manager lets go.
    const last = [...store.kept.values()];
    store.kept.clear();
    for (const descriptor of last) descriptor.close();
    await until("nothing left of the pool", () => sharesOfPools().length === 0);
    removeTree(ROOT);
  },
  TEST_MS,
);

runTests();
