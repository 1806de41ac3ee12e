/** A sandbox with a real virtual machine and our guest (`npm run image`). */
import { sleep, withDeadline } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { uname } from "../sys/host.ts";
import { writeSync } from "../sys/program.ts";
import { assert, assertEqual, runTests, test } from "../sys/testing/native-test.ts";
import { utf8Decode } from "../sys/utf8.ts";
import { openSandbox } from "./open-sandbox.ts";
import {
  expectNoTraces,
  readAll,
  TestLogger,
  testConfiguration,
  testId,
  testPlace,
  testSpec,
} from "./testing/test-pod.ts";

test("a container runs in the virtual machine and its host is clean afterwards", async () => {
  using place = testPlace();
  const id = testId();
  const logger = new TestLogger();
  const spec = testSpec(place.rootfs, ["sh", "-c", "uname -r; echo to stderr >&2; exit 7"]);
  try {
    const started = loop.now();
    const sandbox = await openSandbox({
      id,
      configuration: testConfiguration(),
      spec,
      bundle: place.path,
      logger,
    });
    const opened = loop.now();
    await sandbox.createContainer({ id, bundle: place.path, spec, rootfs: [] });
    const created = loop.now();
    await sandbox.startContainer(id);
    const begun = loop.now();
    const [output, errors, status] = await Promise.all([
      readAll(sandbox, id),
      readAll(sandbox, id, "", "stderr"),
      sandbox.wait({ containerId: id, execId: "" }),
    ]);
    const ended = loop.now();
    assertEqual(status, 7);
    assertEqual(utf8Decode(errors), "to stderr\n");
    assert(utf8Decode(output) !== `${uname().release}\n`, "the kernel is another");
    await sandbox.removeContainer(id);
    await sandbox.stop();
    logger.info("times", {
      open: opened - started,
      create: created - opened,
      start: begun - created,
      run: ended - begun,
      stop: loop.now() - ended,
    });
    assertEqual((await sandbox.exited).expected, true);
    await expectNoTraces(id);
  } finally {
    for (const line of logger.lines) writeSync(2, `${line}\n`);
  }
});

runTests();
