/** A sandbox that cannot be opened, that loses a part, or whose shim is killed: the reason is told and the host is clean. */
import { hasCode, KataError } from "../kata-error.ts";
import { CancelSource } from "../sys/cancellation.ts";
import { sleep, withDeadline } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { readDirectory, readTextFileIfExists, writeFile } from "../sys/files.ts";
import { pipe } from "../sys/pipe.ts";
import {
  clone,
  getpid,
  ignoreSignal,
  kill,
  pidfdSendSignal,
  SIGKILL,
  SIGPIPE,
  waitForChild,
} from "../sys/process.ts";
import { writeSync } from "../sys/program.ts";
import { assert, assertEqual, assertThrows, runTests } from "../sys/testing/native-test.ts";
import { cleanUpSandbox } from "./clean-up.ts";
import { openSandbox } from "./open-sandbox.ts";
import { makeRunDirectories } from "./run-directories.ts";
import { sandboxPaths } from "./sandbox-paths.ts";
import {
  expectNoTraces,
  TestLogger,
  testConfiguration,
  testId,
  testPlace,
  testSpec,
  tracesOf,
  vmTest,
} from "./testing/test-pod.ts";
import { writeTinyKernel } from "./testing/tiny-kernel.ts";
import type { Sandbox } from "./types.ts";

/** Until a lost machine must have been noticed, ms. */
const NOTICE_DEADLINE_MS = 5000;

/** A sandbox with a container that sleeps. */
async function sleeping(
  id: string,
  place: { readonly path: string; readonly rootfs: string },
): Promise<Sandbox> {
  const spec = testSpec(place.rootfs, ["sleep", "1000"]);
  const configuration = testConfiguration();
  const sandbox = await openSandbox({
    id,
    configuration,
    spec,
    bundle: place.path,
    logger: new TestLogger(),
  });
  await sandbox.createContainer({ id, bundle: place.path, spec, rootfs: [] });
  await sandbox.startContainer(id);
  return sandbox;
}

/** The processes of this program's sandbox: their pids by the start of their names. */
function helpers(name: string): number[] {
  return readDirectory("/proc")
    .filter(({ name: pid }) => /^\d+$/.test(pid))
    .filter(({ name: pid }) => {
      const stat = readTextFileIfExists(`/proc/${pid}/stat`) ?? "";
      const [, program = "", parent = ""] = /^\d+ \((.*)\) \S (\d+)/.exec(stat) ?? [];
      return program.startsWith(name) && Number(parent) === getpid();
    })
    .map(({ name: pid }) => Number(pid));
}

for (const [victim, reason] of [
  ["qemu-system", /^QEMU was killed by signal 9/],
  ["virtiofsd", /^virtiofsd was killed by signal 9/],
] as const) {
  vmTest(`kill -9 of ${victim} ends the sandbox with its reason and leaves a clean host`, async () => {
    using place = testPlace();
    const id = testId();
    const sandbox = await sleeping(id, place);
    const waiting = sandbox.wait({ containerId: id, execId: "" });
    waiting.catch(() => undefined);
    const [pid = 0, ...others] = helpers(victim);
    assert(pid > 1 && others.length === 0, `there is one ${victim}`);
    kill(pid, SIGKILL);
    const what = { operation: "wait", object: "the sandbox's end" };
    const end = await withDeadline(loop, NOTICE_DEADLINE_MS, what, sandbox.exited);
    assertEqual(end.expected, false);
    assert(reason.test(end.reason), `the reason is ${end.reason}`);
    await assertThrows(
      () => waiting,
      (error) => hasCode(error, "unavailable"),
      "unavailable",
    );
    await sandbox.removeContainer(id);
    await sandbox.stop();
    await expectNoTraces(id);
  });
}

vmTest("kill -9 of the shim leaves what cleanUpSandbox() gives back", async () => {
  using place = testPlace();
  const id = testId();
  using ready = pipe();
  const shim = clone({ flags: 0 });
  if (shim.role === "child") {
    loop.abandon();
    await sleeping(id, place);
    writeSync(ready.writer.fd, "ready");
    await new Promise(() => undefined);
    return;
  }
  ready.writer.close();
  try {
    await loop.readable(ready.reader.fd);
    assert(tracesOf(id).length > 2, "the sandbox is there");
  } finally {
    pidfdSendSignal(shim.pidfd, SIGKILL);
    await waitForChild(shim.pidfd, shim.pid);
    shim.pidfd.close();
  }
  await cleanUpSandbox(id);
  await expectNoTraces(id);
  await cleanUpSandbox(id);
});

/** From before anything is made to a machine whose guest boots, ms. */
const MOMENTS_MS = [1, 5, 15, 30, 50, 75, 100, 200, 400, 1000];

vmTest(
  "kill -9 of the shim at any moment of a start leaves nothing that cleanUpSandbox() does not find",
  async () => {
    using place = testPlace();
    for (const moment of MOMENTS_MS) {
      const id = testId();
      const shim = clone({ flags: 0 });
      if (shim.role === "child") {
        loop.abandon();
        await sleeping(id, place);
        await new Promise(() => undefined);
        return;
      }
      await sleep(loop, moment);
      pidfdSendSignal(shim.pidfd, SIGKILL);
      await waitForChild(shim.pidfd, shim.pid);
      shim.pidfd.close();
      await cleanUpSandbox(id);
      await expectNoTraces(id);
    }
  },
);

vmTest("cleanUpSandbox() goes by no record that is damaged, and still removes the directories", async () => {
  const id = testId();
  for (const text of [
    "",
    "{",
    '{"version":2}',
    '{"version":1,"processes":[{"name":"x","pid":1,"startTime":1}],"cgroups":["/etc"]}',
  ]) {
    const paths = sandboxPaths(id);
    makeRunDirectories(paths);
    writeFile(paths.state, text);
    await cleanUpSandbox(id);
    assertEqual(tracesOf(id), []);
  }
});

const TINY_DIAL_TIMEOUT_S = 1;

const refused: readonly [
  what: string,
  kernel: (path: string) => void,
  changes: (path: string) => Parameters<typeof testConfiguration>[0],
  code: string,
  about: RegExp,
][] = [
  [
    "a missing kernel",
    () => undefined,
    () => ({ kernel: "/nonexistent/k" }),
    "invalid-configuration",
    /\/nonexistent\/k/,
  ],
  [
    "a missing virtiofsd",
    () => undefined,
    () => ({ virtio_fs_daemon: "/nonexistent/virtiofsd" }),
    "invalid-configuration",
    /\/nonexistent\/virtiofsd.*virtio_fs_daemon/,
  ],
  [
    "a virtiofsd that is another program",
    () => undefined,
    () => ({ virtio_fs_daemon: "/bin/true" }),
    "invalid-configuration",
    /\/bin\/true/,
  ],
  [
    "a guest that panics",
    (path) => writeTinyKernel(path, "Kernel panic - no init found\n", "reset"),
    (path) => ({ kernel: path }),
    "boot-failed",
    /Kernel panic - no init found/,
  ],
  [
    "a guest without an agent",
    (path) => writeTinyKernel(path, "nobody at home\n", "halt"),
    (path) => ({ kernel: path }),
    "boot-failed",
    /did not answer within 1 s: nobody at home/,
  ],
];

for (const [what, kernel, changes, code, about] of refused) {
  vmTest(`${what} is told in one line and leaves nothing`, async () => {
    using place = testPlace();
    const id = testId();
    kernel(`${place.path}/kernel`);
    const spec = testSpec(place.rootfs, ["true"]);
    const configuration = testConfiguration(changes(`${place.path}/kernel`));
    const impatient = {
      ...configuration,
      agent: { ...configuration.agent, dial_timeout: TINY_DIAL_TIMEOUT_S },
    };
    const before = readDirectory("/proc/self/fd").length;
    const error = await assertThrows(
      () => openSandbox({ id, configuration: impatient, spec, bundle: place.path, logger: new TestLogger() }),
      (thrown) => hasCode(thrown, code),
      code,
    );
    const { message } = error as KataError;
    assert(about.test(message) && !message.includes("\n"), `a line about ${about}, not ${message}`);
    await expectNoTraces(id);
    assertEqual(readDirectory("/proc/self/fd").length, before, "open descriptors");
  });
}

vmTest("a start that is given up undoes what was made", async () => {
  using place = testPlace();
  const id = testId();
  const source = new CancelSource();
  const spec = testSpec(place.rootfs, ["true"]);
  const opening = openSandbox({
    id,
    configuration: testConfiguration(),
    spec,
    bundle: place.path,
    logger: new TestLogger(),
    signal: source.signal,
  });
  loop.after(400, () =>
    source.cancel(new KataError("cancelled", { operation: "start", object: "given up" })),
  );
  await assertThrows(
    () => opening,
    (error) => hasCode(error, "cancelled"),
    "cancelled",
  );
  await expectNoTraces(id);
});

vmTest("a second sandbox of the same id is refused and leaves the first alone", async () => {
  using place = testPlace();
  const id = testId();
  const sandbox = await sleeping(id, place);
  const traces = tracesOf(id);
  await assertThrows(
    () => sleeping(id, place),
    (error) => hasCode(error, "already-exists"),
    "already-exists",
  );
  assertEqual(tracesOf(id), traces);
  await sandbox.stop();
  await expectNoTraces(id);
});

// As the shim does: a part that is killed may be written to.
ignoreSignal(SIGPIPE);
runTests();
