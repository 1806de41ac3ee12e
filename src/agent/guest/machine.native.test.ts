/** What the agent does to the machine as a whole, tried where it does no harm: programs of our own, files in place of disks. */
import { KataError } from "../../kata-error.ts";
import { mkdirAll, readTextFile, removeTree, writeFile } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { assert, assertEqual, runTests, test } from "../../sys/testing/native-test.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import { ChildReaper } from "../child-reaper.ts";
import { runProgramHere, runProgramToEnd } from "../program-run.ts";
import { reserveHugePages } from "../storage/huge-pages.ts";
import { restoreRules, saveRules } from "./iptables.ts";
import { makeSwapArea } from "./swap.ts";

const DIRECTORY = `/tmp/kata-machine-test-${getpid()}`;
const reaper = new ChildReaper();

function program(name: string, script: string): void {
  mkdirAll(DIRECTORY);
  writeFile(`${DIRECTORY}/${name}`, `#!/bin/sh\n${script}\n`, 0o755);
}

async function failure(action: () => unknown): Promise<KataError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof KataError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

const request = (script: string, more: object = {}) => ({
  path: "/bin/sh",
  args: ["sh", "-c", script],
  environment: ["A=1"],
  stdin: utf8Encode("input"),
  deadlineMs: 5000,
  outputLimit: 100,
  ...more,
});

test("a program gets its input, environment and no other descriptors, and its output comes back", async () => {
  const script =
    'cat; echo " $A"; for fd in /proc/$$/fd/*; do [ -L $fd ] && echo -n "$(basename $fd) "; done; echo why >&2; exit 3';
  const expected = { status: 3, stdout: "input 1\n0 1 2 ", stderr: "why" };
  const awaited = await runProgramToEnd(request(script), reaper);
  assertEqual({ ...awaited, stdout: utf8Decode(awaited.stdout) }, expected);
});

test("output beyond the limit is dropped, and does not hold the program up", async () => {
  const { status, stdout } = await runProgramToEnd(
    request("head -c 3000000 /dev/zero", { outputLimit: 10 }),
    reaper,
  );
  assertEqual([status, stdout.length], [0, 10]);
});

test("a program that cannot be executed ends with 127 and the reason", async () => {
  const { status, stderr } = await runProgramToEnd(request("", { path: "/no/such" }), reaper);
  assertEqual([status, stderr], [127, "it cannot be executed: errno 2"]);
});

test("a program that does not end is killed with what it has started", async () => {
  const late = request(`sleep 3333 & echo $! > ${DIRECTORY}/pid; wait`, { deadlineMs: 200 });
  mkdirAll(DIRECTORY);
  assertEqual((await failure(() => runProgramToEnd(late, reaper))).code, "deadline-exceeded");
  const pid = readTextFile(`${DIRECTORY}/pid`).trim();
  for (let tries = 0; tries < 100; tries++) {
    if ((await failure(() => readTextFile(`/proc/${pid}/cmdline`)).catch(() => undefined)) !== undefined)
      return;
    await runProgramToEnd(request("sleep 0.02"), reaper);
  }
  assert(false, `process ${pid} lives`);
});

test("the packet filter is saved and restored by the image's programs, with the family's own", async () => {
  for (const [family, name] of [
    ["ipv4", "iptables"],
    ["ipv6", "ip6tables"],
  ] as const) {
    program(`${name}-save`, `cat ${DIRECTORY}/${name}.rules`);
    program(`${name}-restore`, `cat > ${DIRECTORY}/${name}.rules; echo "$0 $*"`);
    const rules = utf8Encode(`*filter\n# ${name}\nCOMMIT\n`);
    const said = utf8Decode(await restoreRules(family, rules, reaper, [DIRECTORY]));
    assertEqual(said, `${DIRECTORY}/${name}-restore --wait 10\n`);
    assertEqual(await saveRules(family, reaper, ["/no/such", DIRECTORY]), rules);
  }
});

test("a refused rule is the call's failure, with what the program says", async () => {
  program("iptables-restore", "echo line 3 failed >&2; exit 2");
  const error = await failure(() => restoreRules("ipv4", utf8Encode("x"), reaper, [DIRECTORY]));
  assertEqual([error.code, error.hint], ["internal", "line 3 failed"]);
});

test("an image without the programs is said to have none", async () => {
  const error = await failure(() => saveRules("ipv4", reaper, ["/no/such"]));
  assertEqual(error.code, "unimplemented");
});

test("a swap area is what the system's tools take for one", async () => {
  mkdirAll(DIRECTORY);
  const file = `${DIRECTORY}/swap`;
  await runProgramToEnd(request(`head -c 1048576 /dev/zero > ${file}; cp ${file} ${file}.theirs`), reaper);
  makeSwapArea(file, 4096);
  const label = await runProgramToEnd(request(`/usr/sbin/swaplabel ${file}`), reaper);
  const text = utf8Decode(label.stdout);
  assert(label.status === 0 && /^UUID:\s+[0-9a-f]{8}-[0-9a-f]{4}-4/.test(text), `${text} ${label.stderr}`);
  // The same bytes as mkswap's, given the same UUID.
  const uuid = /UUID:\s+(\S+)/.exec(text)?.[1];
  const same = await runProgramToEnd(
    request(`/usr/sbin/mkswap -U ${uuid} ${file}.theirs > ${file}.log && cmp ${file} ${file}.theirs`),
    reaper,
  );
  assertEqual([same.status, utf8Decode(same.stdout)], [0, ""]);
});

test("what is too small for a swap area is refused and left alone", async () => {
  mkdirAll(DIRECTORY);
  writeFile(`${DIRECTORY}/small`, "content");
  assertEqual((await failure(() => makeSwapArea(`${DIRECTORY}/small`, 4096))).code, "invalid-argument");
  assertEqual(readTextFile(`${DIRECTORY}/small`), "content");
});

test("huge pages are set aside beside those of others, and given back", async () => {
  const pool = `${DIRECTORY}/kernel/mm/hugepages/hugepages-2048kB`;
  mkdirAll(pool);
  writeFile(`${pool}/nr_hugepages`, "3");
  const release = reserveHugePages(["pagesize=2097152", "size=5M"], DIRECTORY);
  assertEqual(readTextFile(`${pool}/nr_hugepages`), "6");
  release();
  assertEqual(readTextFile(`${pool}/nr_hugepages`), "3");
});

test("a clone of the agent waits for a program by itself", () => {
  // The reaper of this process is not asked meanwhile: the program is waited for first.
  const { status, stdout } = runProgramHere(request("cat; exit 4"));
  assertEqual([status, utf8Decode(stdout)], [4, "input"]);
  removeTree(DIRECTORY);
});

runTests();
