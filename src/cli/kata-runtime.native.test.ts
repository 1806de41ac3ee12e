/** The program `kata-runtime` as a user runs it; it is taken from the build directory beside this test's. */

import { chmod, mkdirAll, removeTree, writeFile } from "../sys/files.ts";
import { pipe } from "../sys/pipe.ts";
import { getpid, SIGKILL } from "../sys/process.ts";
import { spawn } from "../sys/spawn.ts";
import { assert, assertEqual, runTests, test } from "../sys/testing/native-test.ts";
import { PROGRAM, runKataRuntime as run } from "./testing/run-kata-runtime.ts";

/** Runs `body` with a configuration whose guest and programs are there, if only in name. */
async function withConfiguration(body: (file: string, directory: string) => Promise<void>): Promise<void> {
  const directory = `/tmp/kata-runtime-test-${getpid()}`;
  mkdirAll(directory, 0o700);
  try {
    writeFile(`${directory}/qemu`, "#!/bin/sh\necho 'Stand-in 1.2.3'\necho more\n");
    chmod(`${directory}/qemu`, 0o755);
    const kernel = new Uint8Array(0x400);
    kernel.set([0x7f, 0x45, 0x4c, 0x46]);
    writeFile(`${directory}/vmlinux`, kernel);
    writeFile(`${directory}/initrd`, "initrd");
    writeFile(`${directory}/virtiofsd`, "virtiofsd");
    const keys = { path: "qemu", kernel: "vmlinux", initrd: "initrd", virtio_fs_daemon: "virtiofsd" };
    const lines = Object.entries(keys).map(([key, name]) => `${key} = "${directory}/${name}"\n`);
    const file = `${directory}/configuration.toml`;
    writeFile(file, `[hypervisor.qemu]\n${lines.join("")}[agent.kata]\nenable_debug = true\n`);
    await body(file, directory);
  } finally {
    removeTree(directory);
  }
}

test("version tells the version in upstream's shape, and its flags in runc's", async () => {
  const { status, stdout, stderr } = await run(["version"]);
  assertEqual({ status, stderr }, { status: 0, stderr: "" });
  assert(/^kata-runtime {2}: \S+\n {3}commit {3}: \S+\n {3}OCI specs: \S+\n$/.test(stdout), stdout);
  const { version, commit, ociSpecs } = JSON.parse((await run(["version", "--json"])).stdout);
  assertEqual(`kata-runtime  : ${version}\n   commit   : ${commit}\n   OCI specs: ${ociSpecs}\n`, stdout);
  for (const flag of ["--version", "-v"]) {
    const asked = await run([flag]);
    assertEqual(asked.stdout, `kata-runtime version ${version}\ncommit: ${commit}\nspec: ${ociSpecs}\n`);
  }
});

test("a wrong command line ends with 125 and the nearest name, on stderr", async () => {
  assertEqual(await run(["chekc"]), {
    status: 125,
    stdout: "",
    stderr: 'kata-runtime: read command line: "chekc" (no such command; did you mean check?)\n',
  });
});

test("help goes to stdout, with status 0", async () => {
  for (const args of [[], ["--help"], ["help", "check"], ["env", "-h"]]) {
    const { status, stdout, stderr } = await run(args);
    assertEqual({ status, stderr }, { status: 0, stderr: "" }, args.join(" "));
    assert(stdout.startsWith("Usage: kata-runtime "), stdout);
  }
});

test("check finds all of a set-up, asks the hypervisor for its version, and knows whether KVM runs a virtual CPU", async () => {
  await withConfiguration(async (file, directory) => {
    const { stdout } = await run(["--config", file, "check", "--json"]);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; verdict: string; detail: string }[] };
    const of = (name: string) => {
      const found = checks.find((check) => check.name === name);
      return found === undefined ? undefined : [found.verdict, found.detail];
    };
    assertEqual(of("configuration"), ["ok", file]);
    assertEqual(of("QEMU"), ["ok", `${directory}/qemu: Stand-in 1.2.3`]);
    assertEqual(of("virtiofsd"), ["ok", `${directory}/virtiofsd`]);
    assertEqual(of("guest kernel"), ["ok", `${directory}/vmlinux: 0.0 MiB, ELF`]);
    assertEqual(of("guest initrd"), ["ok", `${directory}/initrd: 0.0 MiB`]);
    const accelerator = of("accelerator")?.[1] ?? "";
    assert(/^KVM: |^MSHV: |^emulation \(TCG\): .*KVM is not used: /.test(accelerator), accelerator);
  });
});

test("check ends with 1 and what to do when something is missing", async () => {
  await withConfiguration(async (file, directory) => {
    removeTree(`${directory}/vmlinux`);
    const { status, stdout, stderr } = await run(["--config", file, "check"]);
    assertEqual(status, 1);
    assert(/^FAILED +guest kernel +\S+\/vmlinux: missing$/m.test(stdout), stdout);
    assert(/\n +→ npm run image/.test(stdout), stdout);
    assert(
      /^ERROR: System (is not capable of running|cannot currently create) Kata Containers\n$/.test(stderr),
      stderr,
    );
  });
});

test("check tells a wrong configuration with its place", async () => {
  await withConfiguration(async (file) => {
    writeFile(file, "[hypervisor.qemu]\nkernle = 1\n");
    const { status, stdout } = await run(["--config", file, "check"]);
    assertEqual(status, 1);
    assert(stdout.includes(`${file}:2:1: unknown key in [hypervisor.qemu]: kernle`), stdout);
  });
});

test("env shows the configuration that it was told, as JSON and as TOML", async () => {
  await withConfiguration(async (file, directory) => {
    const json = await run(["--config", file, "env", "--json"]);
    assertEqual({ status: json.status, stderr: json.stderr }, { status: 0, stderr: "" });
    const shown = JSON.parse(json.stdout);
    assertEqual(shown.Meta, { Version: "1.0.27" });
    assertEqual(shown.Kernel.Path, `${directory}/vmlinux`);
    assertEqual(shown.Hypervisor.Version, "Stand-in 1.2.3");
    assertEqual(shown.Runtime.Config.Path, file);
    assertEqual(shown.Runtime.Path, PROGRAM);
    assertEqual(shown.Agent, { Debug: true, Trace: false });
    assert(shown.Host.Memory.Total > 0 && shown.Host.CPU.CPUs > 0, "memory and CPUs are there");
    const toml = await run(["--config", file, "env"]);
    assert(toml.stdout.startsWith(`[Kernel]\n  Path = "${directory}/vmlinux"\n`), toml.stdout);
  });
});

test("env reads the file that the environment names, as the shim does", async () => {
  await withConfiguration(async (file) => {
    const { stdout } = await run(["env", "--json"], { environment: [`KATA_CONF_FILE=${file}`] });
    assertEqual(JSON.parse(stdout).Runtime.Config.Path, file);
  });
});

test("env without a configuration ends with 1 and one line", async () => {
  const { status, stdout, stderr } = await run(["--config", "/nonexistent/c.toml", "env"]);
  assertEqual({ status, stdout }, { status: 1, stdout: "" });
  assert(/^kata-runtime: find configuration: \/nonexistent\/c\.toml: ENOENT \(.+\)\n$/.test(stderr), stderr);
});

test("a reader that leaves early is no error", async () => {
  using out = pipe();
  const child = await spawn({
    path: PROGRAM,
    args: [PROGRAM, "--help"],
    environment: [],
    descriptors: ["null", out.writer.fd, "null"],
    parentDeathSignal: SIGKILL,
  });
  out.writer.close();
  out.reader.close();
  assertEqual((await child.exited).status, 0);
});

test("commands about a sandbox that is not there end with 1 and say how to find those that are", async () => {
  for (const words of [
    ["inspect", "no-such"],
    ["metrics", "no-such"],
    ["logs", "no-such"],
    ["top", "no-such"],
    ["cp", "no-such:/a", "."],
  ]) {
    const { status, stdout, stderr } = await run(words);
    assertEqual({ status, stdout }, { status: 1, stdout: "" }, words.join(" "));
    assert(/^kata-runtime: find sandbox: "no-such" \(.*\)\n$/.test(stderr), stderr);
  }
  assertEqual(
    (await run(["cp", "a", "b"])).stderr,
    "kata-runtime: copy: a to b (one side is SANDBOX:PATH, the other a path of the host)\n",
  );
  assertEqual((await run(["cp", "a", "b"])).status, 125);
});

test("ps without an id shows sandboxes, with one the processes of a container", async () => {
  const { status, stdout } = await run(["ps"]);
  assertEqual(status, 0);
  assert(stdout.startsWith("SANDBOX "), stdout);
  assert(Array.isArray(JSON.parse((await run(["ps", "--json"])).stdout)), "a list");
  const { stderr } = await run(["--root", "/tmp/no-such-root", "ps", "web"]);
  assert(/container.*does not exist/.test(stderr), stderr);
});

runTests();
