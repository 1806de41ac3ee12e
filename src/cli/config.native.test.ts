/** `kata-runtime config` as a user runs it. */
import { mkdirAll, removeTree, writeFile } from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { assert, assertEqual, runTests, test } from "../sys/testing/native-test.ts";
import { runKataRuntime } from "./testing/run-kata-runtime.ts";

const MAIN = '[hypervisor.qemu]\nkernel = "/k"\ndefault_memory = 512\n\n[runtime]\nenable_debug = true\n';

/** Runs `body` with a configuration and a drop-in. */
async function withFiles(body: (file: string, directory: string) => Promise<void>): Promise<void> {
  const directory = `/tmp/kata-config-test-${getpid()}`;
  mkdirAll(`${directory}/config.d`, 0o700);
  try {
    writeFile(`${directory}/c.toml`, MAIN);
    writeFile(`${directory}/config.d/10.toml`, "[hypervisor.qemu]\ndefault_memory = 1024\n");
    await body(`${directory}/c.toml`, directory);
  } finally {
    removeTree(directory);
  }
}

test("config check accepts a file, warns of an unknown key, and refuses it if it is to be strict", async () => {
  await withFiles(async (file, directory) => {
    const ok = `ok       ${file}, ${directory}/config.d/10.toml: [hypervisor.qemu]\n`;
    assertEqual(await runKataRuntime(["config", "check", file]), { status: 0, stdout: ok, stderr: "" });
    assertEqual(await runKataRuntime(["--config", file, "config", "check"]), {
      status: 0,
      stdout: ok,
      stderr: "",
    });
    writeFile(file, `${MAIN}kernle = 1\n`);
    const place = `${file}:7:1: unknown key in [runtime]: kernle`;
    const lenient = await runKataRuntime(["config", "check", file]);
    assertEqual([lenient.status, lenient.stdout.startsWith(`warning  ${place}; `)], [0, true]);
    const strict = await runKataRuntime(["config", "check", "--strict", file]);
    assertEqual([strict.status, strict.stdout], [1, ""]);
    assert(strict.stderr.startsWith(`kata-runtime: read configuration: ${place}`), strict.stderr);
    const { status, stdout } = await runKataRuntime(["config", "check", "--strict", "--json", file]);
    assertEqual([status, JSON.parse(stdout).valid], [1, false]);
  });
});

test("config check tells where a value is wrong", async () => {
  await withFiles(async (file) => {
    writeFile(file, '[hypervisor.qemu]\ndefault_memory = "much"\n');
    writeFile(file.replace("c.toml", "config.d/10.toml"), "");
    const { status, stderr } = await runKataRuntime(["config", "check", file]);
    assertEqual(status, 1);
    assert(stderr.includes(`${file}:2:1: default_memory: `), stderr);
  });
});

test("config show tells of each value where it comes from", async () => {
  await withFiles(async (file, directory) => {
    assertEqual(await runKataRuntime(["config", "show", "--changed", file]), {
      status: 0,
      stdout: `[hypervisor.qemu]
kernel = "/k"  # ${file}:2:1
default_memory = 1024  # ${directory}/config.d/10.toml:2:1

[runtime]
enable_debug = true  # ${file}:6:1
`,
      stderr: "",
    });
    const all = await runKataRuntime(["config", "show", file]);
    assert(all.stdout.includes('\nmachine_type = "q35"  # default\n'), all.stdout);
    // What it shows is a configuration that amounts to the same.
    writeFile(`${directory}/shown.toml`, all.stdout);
    removeTree(`${directory}/config.d`);
    writeFile(file, MAIN.replace("512", "1024"));
    assertEqual(await runKataRuntime(["config", "diff", file, `${directory}/shown.toml`]), {
      status: 0,
      stdout: "",
      stderr: "",
    });
  });
});

test("config show finds a key by its other name, and the tables of the chosen monitor", async () => {
  await withFiles(async (file) => {
    writeFile(file.replace("c.toml", "config.d/10.toml"), "");
    writeFile(
      file,
      '[hypervisor.qemu]\nkernel = "/q"\n[hypervisor.cloud-hypervisor]\nkernel = "/c"\n[runtime]\nhypervisor_name = "cloud-hypervisor"\n',
    );
    const { stdout } = await runKataRuntime(["config", "show", "--json", file]);
    const { driver, settings } = JSON.parse(stdout) as {
      driver: string;
      settings: { section: string; key: string; value: unknown; from: string }[];
    };
    const kernel = settings.find(({ section, key }) => section === "hypervisor" && key === "kernel");
    assertEqual([driver, kernel?.value, kernel?.from], ["clh", "/c", `${file}:4:1`]);
    // Keys of QEMU alone are left out.
    assertEqual(
      settings.some(({ key }) => key === "machine_accelerators"),
      false,
    );
  });
});

test("config explain knows keys, other names and annotations, and proposes the nearest", async () => {
  const { status, stdout } = await runKataRuntime(["config", "explain", "default_memory"]);
  assertEqual(status, 0);
  assert(stdout.startsWith("default_memory in [hypervisor.NAME]\n  Meaning:     "), stdout);
  assert(stdout.includes("\n  Annotation:  io.katacontainers.config.hypervisor.default_memory\n"), stdout);
  const both = await runKataRuntime(["config", "explain", "--json", "enable_debug"]);
  assertEqual(
    (JSON.parse(both.stdout) as { table: string }[]).map(({ table }) => table),
    ["[hypervisor.NAME]", "[agent.kata]", "[runtime]"],
  );
  const annotation = await runKataRuntime([
    "config",
    "explain",
    "io.katacontainers.config.hypervisor.kernel_params",
  ]);
  assert(annotation.stdout.startsWith("kernel_params in [hypervisor.NAME]\n"), annotation.stdout);
  const idle = await runKataRuntime(["config", "explain", "msize_9p"]);
  assert(idle.stdout.includes("\n  Effect:      none: files are shared by virtio-fs"), idle.stdout);
  const wrong = await runKataRuntime(["config", "explain", "defalt_memory"]);
  assertEqual([wrong.status, wrong.stdout], [1, ""]);
  assert(wrong.stderr.includes("did you mean default_memory?"), wrong.stderr);
});

test("config diff compares what files amount to, not their lines", async () => {
  await withFiles(async (file, directory) => {
    removeTree(`${directory}/config.d`);
    writeFile(
      `${directory}/other.toml`,
      '# Written another way.\n[runtime]\nenable_debug = true\n[hypervisor.qemu]\ndefault_memory = 512\nkernel = "/k"\n',
    );
    const same = await runKataRuntime(["config", "diff", file, `${directory}/other.toml`]);
    assertEqual(same, { status: 0, stdout: "", stderr: "" });
    writeFile(`${directory}/other.toml`, '[hypervisor.qemu]\nkernel = "/k2"\ndefault_memory = 512\n');
    assertEqual(await runKataRuntime(["--config", file, "config", "diff", `${directory}/other.toml`]), {
      status: 1,
      stdout: `--- ${file} [hypervisor.qemu]
+++ ${directory}/other.toml [hypervisor.qemu]
 [hypervisor.qemu]
-kernel = "/k"  # ${file}:2:1
+kernel = "/k2"  # ${directory}/other.toml:2:1
 [runtime]
-enable_debug = true  # ${file}:6:1
+enable_debug = false  # default
`,
      stderr: "",
    });
  });
});

runTests();
