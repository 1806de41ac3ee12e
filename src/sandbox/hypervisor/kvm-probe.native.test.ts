/** Probing KVM on this machine, whatever it has. */
import { loop } from "../../sys/event-loop.ts";
import { exists, readDirectory, readTextFile } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { assert, assertEqual, runTests, test } from "../../sys/testing/native-test.ts";
import { probeKvm } from "./kvm-probe.ts";

function children(): string {
  return readTextFile(`/proc/${getpid()}/task/${getpid()}/children`).trim();
}

test("probeKvm() says that a device file is missing", async () => {
  assertEqual(await probeKvm("/nonexistent/kvm"), { works: false, reason: "/nonexistent/kvm is missing" });
});

test("probeKvm() is not taken in by another device", async () => {
  const { works, reason } = await probeKvm("/dev/null");
  assertEqual(works, false);
  assert(/ENOTTY/.test(reason), `the reason is the kernel's, not ${reason}`);
});

test("probeKvm() answers soon and in words, and leaves neither process nor descriptor", async () => {
  const [before, started] = [readDirectory("/proc/self/fd").length, loop.now()];
  const { works, reason } = await probeKvm();
  assert(loop.now() - started < 3000, "within its deadline");
  assertEqual(works, reason === "");
  if (!exists("/dev/kvm")) assertEqual(reason, "/dev/kvm is missing");
  assertEqual(children(), "");
  // The event loop keeps its own descriptor.
  assert(readDirectory("/proc/self/fd").length <= before + 1, "nothing stays open");
});

runTests();
