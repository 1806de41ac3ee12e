/** `kata-runtime doctor` as a user runs it, on snapshots. */
import { mkdirAll, removeTree, writeFile } from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { assert, assertEqual, runTests, test } from "../sys/testing/native-test.ts";
import { FIXTURES, runKataRuntime } from "./testing/run-kata-runtime.ts";

interface DoctorJson {
  readonly healthy: boolean;
  readonly findings: readonly { name: string; verdict: string; detail: string; fix?: string }[];
}

test("doctor finds nothing wrong with an AKS node, whose containerd has a runtime of Kata", async () => {
  const root = `${FIXTURES}/hosts/aks-mshv`;
  assertEqual(await runKataRuntime(["doctor", "--root", root]), {
    status: 0,
    stdout: "0 wrong, 0 to look at, 15 in order\n",
    stderr: "",
  });
  const { findings } = JSON.parse(
    (await runKataRuntime(["doctor", "--json", "--root", root])).stdout,
  ) as DoctorJson;
  assertEqual(findings.find(({ name }) => name === "runtime kata")?.detail, "io.containerd.kata.v2");
});

test("doctor tells the worst first, each with what to do, and ends with 1", async () => {
  const { status, stdout } = await runKataRuntime([
    "doctor",
    "--json",
    "--root",
    `${FIXTURES}/hosts/container`,
  ]);
  const { healthy, findings } = JSON.parse(stdout) as DoctorJson;
  assertEqual([status, healthy], [1, false]);
  const verdicts = findings.map(({ verdict }) => verdict);
  const order = ["failed", "warning", "ok"];
  assertEqual(
    verdicts,
    verdicts.toSorted((a, b) => order.indexOf(a) - order.indexOf(b)),
  );
  assertEqual(
    findings.filter(({ verdict, fix }) => verdict !== "ok" && fix === undefined),
    [],
  );
  assertEqual(findings[0]?.name, "TUN");
});

test("doctor reads the files that containerd's configuration imports", async () => {
  const root = `/tmp/kata-doctor-test-${getpid()}`;
  mkdirAll(`${root}/etc/containerd/conf.d`, 0o700);
  try {
    writeFile(`${root}/etc/containerd/config.toml`, 'version = 2\nimports = ["conf.d/*.toml"]\n');
    writeFile(
      `${root}/etc/containerd/conf.d/kata.toml`,
      '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata-fc]\nruntime_type = "io.containerd.kata-fc.v2"\nprivileged_without_host_devices = true\noptions = { ConfigPath = "/opt/kata/configuration-fc.toml" }\n',
    );
    const { stdout } = await runKataRuntime(["doctor", "--json", "--root", root]);
    const { findings } = JSON.parse(stdout) as DoctorJson;
    const found = findings.filter(({ name }) => name === "runtime kata-fc").map(({ detail }) => detail);
    assertEqual(found.length, 2);
    assertEqual(found[0], "/opt/kata/configuration-fc.toml: missing");
    assert(found[1]?.startsWith("snapshotter overlayfs: Firecracker") === true, String(found[1]));
  } finally {
    removeTree(root);
  }
});

test("doctor looks at this host, and at the address that the environment names", async () => {
  const { stdout } = await runKataRuntime(["doctor", "--json", "--containerd-config", "/nonexistent.toml"], {
    environment: ["CONTAINERD_ADDRESS=unix:///nonexistent.sock"],
  });
  const { findings } = JSON.parse(stdout) as DoctorJson;
  const of = (name: string) => findings.find((each) => each.name === name);
  assertEqual(of("containerd's socket")?.detail, "/nonexistent.sock: missing: containerd does not run");
  assert(of("containerd's file")?.detail.startsWith("/nonexistent.toml: missing") === true, stdout);
  assert(of("accelerator") !== undefined, stdout);
});

runTests();
