/** The program `kata-runtime` under its other name, with that one's spelling. */
import { mkdirAll, readTextFile, removeTree, writeFile } from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { assert, assertEqual, runTests, test } from "../sys/testing/native-test.ts";
import { type Outcome, runKataRuntime } from "./testing/run-kata-runtime.ts";

const kataCtl = (args: readonly string[]) => runKataRuntime(args, { name: "kata-ctl" });

/** What both names say, apart from the name. */
async function sameAs(args: readonly string[], other: readonly string[]): Promise<void> {
  const unnamed = ({ status, stdout, stderr }: Outcome) => ({
    status,
    stdout: stdout.replaceAll("kata-ctl", "NAME").replaceAll("kata-runtime", "NAME"),
    stderr: stderr.replaceAll("kata-ctl", "NAME").replaceAll("kata-runtime", "NAME"),
  });
  assertEqual(unnamed(await kataCtl(args)), unnamed(await runKataRuntime(other)), args.join(" "));
}

test("kata-ctl's commands below check are kata-runtime's flags", async () => {
  await sameAs(["check", "list"], ["check", "--list"]);
  await sameAs(["check", "check-version-only"], ["check", "--check-version-only"]);
  await sameAs(["check", "only-list-releases"], ["check", "--only-list-releases"]);
  const { checks } = JSON.parse((await kataCtl(["check", "all", "--json"])).stdout) as { checks: object[] };
  assert(checks.length > 5, "all checks");
});

test("kata-ctl names itself in help, errors and version", async () => {
  const { version } = JSON.parse((await kataCtl(["version", "--json"])).stdout) as { version: string };
  assertEqual((await kataCtl(["version"])).stdout.split("\n")[0], `kata-ctl  : ${version}`);
  assert((await kataCtl(["--help"])).stdout.startsWith("Usage: kata-ctl "), "the help");
  assertEqual(await kataCtl(["check", "--verbose"]), {
    status: 125,
    stdout: "",
    stderr: 'kata-ctl: read command line: "--verbose" (no such flag)\n',
  });
});

test("kata-ctl takes the flags for its log before the command", async () => {
  const { status } = await kataCtl(["-l", "debug", "--json-logging", "version"]);
  assertEqual(status, 0);
});

test("kata-ctl env writes to a file", async () => {
  const directory = `/tmp/kata-ctl-test-${getpid()}`;
  mkdirAll(directory, 0o700);
  try {
    const file = `${directory}/configuration.toml`;
    writeFile(file, "[hypervisor.qemu]\n");
    const args = ["--config", file, "env", "--json"];
    assertEqual(await kataCtl([...args, "-f", `${directory}/env`]), { status: 0, stdout: "", stderr: "" });
    const { Runtime } = JSON.parse(readTextFile(`${directory}/env`)) as { Runtime: { Config: object } };
    assertEqual(Runtime.Config, { Path: file });
  } finally {
    removeTree(directory);
  }
});

test("monitor becomes kata-monitor, which lies beside it", async () => {
  const { status, stderr } = await kataCtl(["monitor", "nowhere"]);
  assertEqual(status, 2);
  assert(stderr.startsWith('kata-monitor: read command line: "nowhere" (an address is HOST:PORT)'), stderr);
});

test("exec takes what is behind -- as the command, and says 125 for a sandbox that is not there", async () => {
  const { status, stdout, stderr } = await kataCtl([
    "exec",
    "no-such-sandbox",
    "-p",
    "1026",
    "--",
    "ls",
    "-l",
  ]);
  assertEqual({ status, stdout }, { status: 125, stdout: "" });
  assert(/^kata-ctl: find sandbox: "no-such-sandbox"/.test(stderr), stderr);
});

test("completion is for the name that it was called by", async () => {
  const { stdout } = await kataCtl(["completion", "bash"]);
  assert(stdout.endsWith("complete -o filenames -F _kata_ctl kata-ctl\n"), stdout.slice(-120));
  assert(stdout.includes('"check") words="all '), "the commands of kata-ctl");
});

test("metrics-args and iptables metrics are about all sandboxes", async () => {
  for (const args of [["metrics", "metrics-args"], ["metrics"], ["iptables", "metrics", "--v6"]]) {
    const { stdout } = await kataCtl(args);
    assert(stdout === "" || /^# HELP |^kata/.test(stdout), `${args.join(" ")}: ${stdout.slice(0, 200)}`);
  }
  assertEqual(
    await kataCtl(["iptables", "metrics", "--sandbox-id", "no-such-sandbox"]).then(({ status }) => status),
    1,
  );
  assertEqual(await kataCtl(["metrics", "no-such-sandbox"]).then(({ status }) => status), 1);
});

test("it has the commands of upstream's kata-ctl", async () => {
  const { stdout } = await kataCtl(["--help"]);
  for (const name of [
    "check",
    "cp",
    "direct-volume",
    "env",
    "exec",
    "factory",
    "iptables",
    "metrics",
    "monitor",
    "log-parser",
    "version",
  ]) {
    assert(new RegExp(`^  ${name} `, "m").test(stdout), name);
  }
});

runTests();
