/** The machine as a whole, clocks, randomness, signals and vsock on the real kernel. */
import { hasErrno } from "../kata-error.ts";
import { loop } from "./event-loop.ts";
import { exists, readTextFile } from "./files.ts";
import { setdomainname, sethostname, sysinfo, uname } from "./host.ts";
import {
  CLONE_NEWUTS,
  clone,
  getpid,
  kill,
  listenForSignals,
  PR_SET_NO_NEW_PRIVS,
  prctl,
  prlimit,
  SIGTERM,
  SIGUSR1,
  setProcessName,
  waitForChild,
} from "./process.ts";
import { exit } from "./program.ts";
import { addEntropy, randomBytes, reseedGenerator } from "./random.ts";
import { accept, connect, listen, VMADDR_CID_ANY } from "./socket.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "./testing/native-test.ts";
import { CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, clockGettime, wallClockMs } from "./time.ts";

const VMADDR_CID_LOCAL = 1;

/** Exit status of a clone that runs `body`. */
async function statusOf(flags: number, body: () => Promise<number> | number): Promise<number> {
  const child = clone({ flags });
  if (child.role === "child") {
    loop.abandon();
    exit(await body());
  }
  const { status } = await waitForChild(child.pidfd, child.pid);
  child.pidfd.close();
  return status;
}

test("uname() and sysinfo() say what procfs says", () => {
  const { hostname, release, machine } = uname();
  const read = (name: string) => readTextFile(`/proc/sys/kernel/${name}`).trim();
  assertEqual([hostname, release], [read("hostname"), read("osrelease")]);
  assert(["x86_64", "aarch64"].includes(machine), `a machine that we know, not ${machine}`);
  const { totalMemory, uptime, processes } = sysinfo();
  const kib = Number(/^MemTotal:\s+(\d+) kB/m.exec(readTextFile("/proc/meminfo"))?.[1]);
  assertEqual(totalMemory, kib * 1024);
  assert(Math.abs(uptime - Number(readTextFile("/proc/uptime").split(".")[0])) <= 2, "the uptime");
  assert(processes > 0, "there are processes");
});

test("a host name has its limit", async () => {
  const status = await statusOf(CLONE_NEWUTS, () => {
    sethostname("x".repeat(64));
    setdomainname("é");
    if (uname().hostname.length !== 64 || uname().domain !== "é") return 1;
    try {
      sethostname("x".repeat(65));
      return 2;
    } catch (error) {
      return hasErrno(error, "EINVAL") ? 0 : 3;
    }
  });
  assertEqual(status, 0);
});

test("clocks go forward and agree with each other", () => {
  const before = clockGettime(CLOCK_MONOTONIC);
  assert(clockGettime(CLOCK_MONOTONIC) >= before, "the monotonic clock goes forward");
  assert(clockGettime(CLOCK_BOOTTIME) >= before, "the boot clock counts sleep too");
  assert(
    Math.abs(Number(clockGettime(CLOCK_REALTIME) / 1_000_000n) - Date.now()) < 1000,
    "the wall clock is the engine's",
  );
  assert(Math.abs(wallClockMs() - Date.now()) < 1000, "in milliseconds");
});

test("randomness has the length that was asked for and does not repeat", () => {
  const [first, second] = [randomBytes(300), randomBytes(300)];
  assertEqual([first.length, randomBytes(0).length], [300, 0]);
  assert(
    first.some((byte, index) => byte !== second[index]),
    "two draws differ",
  );
  addEntropy(first);
  reseedGenerator();
  assertEqual(randomBytes(16).length, 16);
});

test("several signals arrive in their order, with their sender", async () => {
  const got: [number, number][] = [];
  using _listener = listenForSignals([SIGUSR1, SIGTERM], (signal, sender) => got.push([signal, sender]));
  const self = getpid();
  const status = await statusOf(0, () => {
    kill(self, SIGTERM);
    kill(self, SIGUSR1);
    return 0;
  });
  assertEqual(status, 0);
  assertEqual(got.map(([signal]) => signal).sort(), [SIGUSR1, SIGTERM]);
  assert(
    got.every(([, sender]) => sender !== self && sender > 1),
    "they come from the clone",
  );
});

test("limits, name and no_new_privs of a process are what was set", async () => {
  const RLIMIT_NOFILE = 7;
  const status = await statusOf(0, () => {
    prlimit(0, RLIMIT_NOFILE, 100n, 200n);
    setProcessName("a-long-name-of-a-process");
    prctl(PR_SET_NO_NEW_PRIVS, 1);
    const text = readTextFile("/proc/self/status");
    const limits = readTextFile("/proc/self/limits");
    const named = /^Name:\s+a-long-name-of-\n/m.test(text) && /^NoNewPrivs:\s+1$/m.test(text);
    return named && /Max open files\s+100\s+200/.test(limits) ? 0 : 1;
  });
  assertEqual(status, 0);
});

test("vsock listens and connects where the kernel has it, and says so where not", async () => {
  if (!exists("/dev/vsock")) {
    await assertThrows(
      () => listen({ kind: "vsock", cid: VMADDR_CID_ANY, port: 1024 }).close(),
      (error) => hasErrno(error, "EAFNOSUPPORT"),
      "EAFNOSUPPORT",
    );
    return;
  }
  const port = 20_000 + (getpid() % 10_000);
  using listener = listen({ kind: "vsock", cid: VMADDR_CID_ANY, port });
  let client: Awaited<ReturnType<typeof connect>>;
  try {
    client = await connect({ kind: "vsock", cid: VMADDR_CID_LOCAL, port });
  } catch (error) {
    // Without the loopback transport there is no way to oneself.
    assert(
      hasErrno(error, "ENODEV", "ENETUNREACH", "EADDRNOTAVAIL", "ECONNRESET", "ETIMEDOUT"),
      `no route, not ${error}`,
    );
    return;
  }
  using near = client;
  using far = await accept(listener);
  await near.write(new Uint8Array([1, 2, 3]));
  const bytes = new Uint8Array(10);
  assertEqual([await far.read(bytes), bytes[2]], [3, 3]);
});

runTests();
