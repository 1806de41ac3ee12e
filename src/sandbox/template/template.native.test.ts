/** Machines that are cloned: each is one of its own, whatever has happened to the template. */
import { readDirectory, removeTree, writeFile } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { assert, assertEqual, runTests } from "../../sys/testing/native-test.ts";
import { wallClockMs } from "../../sys/time.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { openSandbox } from "../open-sandbox.ts";
import {
  expectNoTraces,
  readAll,
  TestLogger,
  testConfiguration,
  testId,
  testPlace,
  testSpec,
  vmTest,
} from "../testing/test-pod.ts";

const TEMPLATES = `/run/kata-template-test.${getpid()}`;
/** A guest's clock beside the host's, s: setting it and reading it takes a moment, on a busy host a long one. */
const CLOCK_TOLERANCE_S = 2;

const configuration = (() => {
  const base = testConfiguration();
  return { ...base, factory: { ...base.factory, enable_template: true, template_path: TEMPLATES } };
})();

interface Run {
  readonly output: string;
  readonly logger: TestLogger;
  /** Seconds since 1970. */
  readonly endedAt: number;
}

/** Runs a script in a pod of its own. */
async function run(script: string): Promise<Run> {
  using place = testPlace();
  const id = testId();
  const logger = new TestLogger();
  const spec = testSpec(place.rootfs, ["sh", "-c", script]);
  const sandbox = await openSandbox({ id, configuration, spec, bundle: place.path, logger });
  try {
    await sandbox.createContainer({ id, bundle: place.path, spec, rootfs: [] });
    await sandbox.startContainer(id);
    const output = utf8Decode(await readAll(sandbox, id));
    assertEqual((await sandbox.wait({ containerId: id, execId: "" })).status, 0);
    return { output, logger, endedAt: wallClockMs() / 1000 };
  } finally {
    await sandbox.stop();
    await expectNoTraces(id);
  }
}

const kindOf = ({ logger }: Run) => /"machine":"(\w+)"/.exec(logger.lines.join("\n"))?.[1];
const templates = () =>
  readDirectory(TEMPLATES)
    .map(({ name }) => name)
    .filter((name) => name.endsWith("-1"));

const WHO =
  "cat /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | md5sum; cat /proc/uptime; date +%s; hostname";

vmTest(
  "clones of one template differ in randomness and boot id, and know the time and their name",
  async () => {
    const first = await run(WHO);
    assertEqual(kindOf(first), "cloned");
    const second = await run(WHO);
    assertEqual(kindOf(second), "cloned");
    assertEqual(templates().length, 1);
    const [bootA, randomA, , , hostA] = first.output.split("\n");
    const [bootB, randomB, , dateB, hostB] = second.output.split("\n");
    assert(bootA !== bootB && /^[0-9a-f-]{36}$/.test(bootA ?? ""), `boot ids are ${bootA} and ${bootB}`);
    assert(
      randomA !== randomB && /^[0-9a-f]{32} /.test(randomA ?? ""),
      `random bytes are ${randomA}, ${randomB}`,
    );
    const late = Math.abs(Number(dateB) - Date.now() / 1000);
    assert(late < CLOCK_TOLERANCE_S + 60, `the clock is ${late} s off`);
    assertEqual([hostA, hostB], ["box", "box"]);
  },
);

vmTest("a template that was tampered with is told of and made again", async () => {
  await run("true");
  const [name = ""] = templates();
  writeFile(`${TEMPLATES}/${name}/state`, "no state of a machine");
  const again = await run("true");
  assertEqual(kindOf(again), "cloned");
  assert(
    again.logger.of("warn").some((line) => /damaged template.*state: it has been changed/.test(line)),
    `it is told: ${again.logger.of("warn").join("\n")}`,
  );
});

vmTest("a pod whose template cannot be made is booted, with the reason", async () => {
  const [name = ""] = templates();
  removeTree(TEMPLATES);
  // A file where the directory should be.
  writeFile(TEMPLATES, name);
  try {
    const booted = await run("true");
    assertEqual(kindOf(booted), "booted");
    assert(
      booted.logger.of("warn").some((line) => /booted instead of cloned.*ENOTDIR|EEXIST/.test(line)),
      booted.logger.of("warn").join("\n"),
    );
  } finally {
    removeTree(TEMPLATES);
  }
});

runTests();
