/** The host's hooks as programs of the real kernel. Needs root. */
import { hasCode, hasErrno } from "../../kata-error.ts";
import type { HookSubject } from "../../oci/hooks.ts";
import type { Hook } from "../../oci/types.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import { loop } from "../../sys/event-loop.ts";
import { mkdirIfMissing, readlink, readTextFile, removeTree } from "../../sys/files.ts";
import { unshare } from "../../sys/namespaces.ts";
import {
  CLONE_NEWNET,
  CLONE_NEWNS,
  clone,
  getpid,
  pidfdSendSignal,
  SIGKILL,
  waitForChild,
} from "../../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { type HostHookPoint, runHostHooks } from "./host-hooks.ts";

const directory = `/tmp/kata-hooks-test-${getpid()}`;

function script(text: string, more: Partial<Hook> = {}): Hook {
  return { path: "/bin/sh", args: ["sh", "-c", text], env: [`OUT=${directory}/out`], ...more };
}

function run(
  point: HostHookPoint,
  hooks: readonly Hook[],
  pid = getpid(),
  signal = new CancelSource().signal,
) {
  const spec = { ociVersion: "1.2.0", hooks: { [point]: hooks }, annotations: { a: "b" } };
  const subject: HookSubject = { id: "c", bundle: "/bundle", spec };
  return runHostHooks({ point, subject, pid: point === "poststop" ? undefined : pid, clock: loop, signal });
}

async function inScratch(work: () => Promise<void>): Promise<void> {
  mkdirIfMissing(directory);
  try {
    await work();
  } finally {
    removeTree(directory);
  }
}

const STATUSES = {
  prestart: "creating",
  createRuntime: "creating",
  createContainer: "creating",
  poststart: "running",
  poststop: "stopped",
} as const;

for (const [point, status] of Object.entries(STATUSES) as [HostHookPoint, string][]) {
  test(`${point} hooks run one after the other, each with the state on stdin`, () =>
    inScratch(async () => {
      const note = script('cat >> "$OUT"; echo " $0 $(pwd) $(env | grep -c .)" >> "$OUT"');
      await run(point, [note, { ...note, args: ["sh", "-c", 'echo "second $1" >> "$OUT"', "x", "y z"] }]);
      const [first = "", second] = readTextFile(`${directory}/out`).split("\n");
      const [, json = "", rest] = /^(\{.*\}) (.*)$/.exec(first) ?? [];
      assertEqual(JSON.parse(json), {
        ociVersion: "1.2.0",
        id: "c",
        status,
        ...(point === "poststop" ? {} : { pid: getpid() }),
        bundle: "/bundle",
        annotations: { a: "b" },
      });
      // The environment is the hook's own; the shell adds PWD.
      assertEqual([rest, second], ["sh / 2", "second y z"]);
    }));
}

test("a hook that fails tells what it said, and those behind it are not run", () =>
  inScratch(async () => {
    await assertThrows(
      () =>
        run("createRuntime", [
          script("echo no such; echo network >&2; exit 3"),
          script('echo late > "$OUT"'),
        ]),
      (error) =>
        hasCode(error, "aborted") && /\/bin\/sh: it ended with status 3.*network/.test(String(error)),
      "the hook's status and words",
    );
    await assertThrows(
      () => readTextFile(`${directory}/out`),
      (error) => hasErrno(error, "ENOENT"),
      "no second hook",
    );
  }));

test("a hook that cannot be executed is an error with the kernel's reason", async () => {
  await assertThrows(
    () => run("prestart", [{ path: "/no/such/hook" }]),
    (error) => hasErrno(error, "ENOENT"),
    "ENOENT",
  );
});

test("a hook that takes longer than its timeout is killed, with what it has started", () =>
  inScratch(async () => {
    const slow = script('(sleep 100 & echo $! > "$OUT"; wait)', { timeout: 1 });
    const started = loop.now();
    await assertThrows(
      () => run("createRuntime", [slow]),
      (error) => hasCode(error, "deadline-exceeded"),
      "deadline-exceeded",
    );
    assert(loop.now() - started < 5000, "it took about a second");
    await ended(Number(readTextFile(`${directory}/out`)));
  }));

test("a hook is killed when nobody waits for it any more", async () => {
  const giveUp = new CancelSource();
  const running = run("createRuntime", [script("sleep 100")], getpid(), giveUp.signal);
  loop.after(200, () => giveUp.cancel());
  await assertThrows(
    () => running,
    (error) => hasCode(error, "cancelled"),
    "cancelled",
  );
});

test("createContainer hooks run in the monitor's namespaces, the others in ours", () =>
  inScratch(async () => {
    const monitor = clone({ flags: 0 });
    if (monitor.role === "child") {
      loop.abandon();
      unshare(CLONE_NEWNET | CLONE_NEWNS);
      for (;;) await new Promise((resolve) => loop.after(1000, () => resolve(undefined)));
    }
    try {
      const namespaces = (pid: number | string) =>
        ["net", "mnt"].map((name) => readlink(`/proc/${pid}/ns/${name}`)).join("\n");
      while (namespaces(monitor.pid) === namespaces("self")) {
        await new Promise((resolve) => loop.after(10, () => resolve(undefined)));
      }
      const note = script('readlink /proc/self/ns/net /proc/self/ns/mnt > "$OUT"');
      await run("createContainer", [note], monitor.pid);
      assertEqual(readTextFile(`${directory}/out`).trim(), namespaces(monitor.pid));
      await run("createRuntime", [note], monitor.pid);
      assertEqual(readTextFile(`${directory}/out`).trim(), namespaces("self"));
    } finally {
      pidfdSendSignal(monitor.pidfd, SIGKILL);
      await waitForChild(monitor.pidfd, monitor.pid);
      monitor.pidfd.close();
    }
  }));

/** Waits until a process that is not our child is gone. */
async function ended(pid: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const state = /^State:\s+(\S)/m.exec(statusOf(pid))?.[1] ?? "gone";
    if (state === "gone" || state === "Z") return;
    await new Promise((resolve) => loop.after(20, () => resolve(undefined)));
  }
  throw new Error(`process ${pid} lives on`);
}

function statusOf(pid: number): string {
  try {
    return readTextFile(`/proc/${pid}/status`);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return "";
    throw error;
  }
}

runTests();
