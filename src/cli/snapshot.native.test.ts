/** `kata-runtime check --root` and `env --root` on snapshots of hosts, tests/fixtures/hosts. */
import {
  mkdirAll,
  readTextFile,
  readTextFileIfExists,
  removeTree,
  symlink,
  writeFile,
} from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { assert, assertEqual, runTests, test } from "../sys/testing/native-test.ts";
import { FIXTURES, runKataRuntime } from "./testing/run-kata-runtime.ts";

interface CheckJson {
  readonly capable: boolean;
  readonly ready: boolean;
  readonly checks: readonly { name: string; verdict: string; detail: string; fix?: string }[];
  readonly facts: readonly { message: string; name: string }[];
}

interface Expected {
  readonly capable: boolean;
  readonly ready: boolean;
  readonly accelerator: readonly [verdict: string, detail: string, fix?: string];
  readonly processor: string;
  /** What upstream's check would find missing. */
  readonly missing: readonly string[];
}

const TRIED = "KVM: /dev/kvm is there; it was not tried";
const TCG = "emulation (TCG): capable for development, slow, and no security boundary. KVM is not used: ";
const NO_FLAG = "shows neither vmx nor svm: no hardware virtualization, or a virtual machine without nesting";
const NO_KVM = ["vmx", "kvm_intel", "kvm", "vhost", "vhost_net"];
const FIRMWARE =
  "switch virtualization on in the firmware, or nested virtualization in the hypervisor below this machine";

const HOSTS: Readonly<Record<string, Expected>> = {
  "intel-metal": {
    capable: true,
    ready: true,
    accelerator: ["ok", TRIED],
    processor: "2 × Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz, with vmx, Dell Inc. PowerEdge R650",
    missing: [],
  },
  "amd-metal": {
    capable: true,
    ready: false,
    accelerator: ["ok", TRIED],
    processor: "2 × AMD EPYC 7543P 32-Core Processor, with svm, Supermicro AS -1114S-WN10RT",
    missing: [],
  },
  "aks-mshv": {
    capable: true,
    ready: true,
    accelerator: ["ok", "MSHV: /dev/mshv, which Cloud Hypervisor uses"],
    processor: `4 × Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz, ${NO_FLAG}; a virtual machine itself, Microsoft Corporation Virtual Machine`,
    missing: ["vmx", "kvm_intel", "kvm"],
  },
  "aks-plain": {
    capable: true,
    ready: false,
    accelerator: [
      "warning",
      `${TCG}/dev/kvm is missing`,
      "take a size with nested virtualization: kata-runtime azure sizes --usable yes; on AKS: kata-runtime azure plan",
    ],
    processor: `2 × Intel(R) Xeon(R) Platinum 8272CL CPU @ 2.60GHz, ${NO_FLAG}; a virtual machine itself, Microsoft Corporation Virtual Machine`,
    missing: NO_KVM,
  },
  "ec2-metal": {
    capable: true,
    ready: false,
    accelerator: ["ok", TRIED],
    processor: "2 × Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz, with vmx, Amazon EC2 i3.metal",
    missing: ["vhost", "vhost_net"],
  },
  "ec2-virtual": {
    capable: true,
    ready: false,
    accelerator: ["warning", `${TCG}/dev/kvm is missing`, "take a metal instance, such as i3.metal"],
    processor: `2 × Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz, ${NO_FLAG}; a virtual machine itself, Amazon EC2 m5.xlarge`,
    missing: NO_KVM,
  },
  "gce-nested": {
    capable: true,
    ready: false,
    accelerator: ["ok", TRIED],
    processor:
      "2 × Intel(R) Xeon(R) CPU @ 2.20GHz, with vmx; a virtual machine itself, Google Compute Engine",
    missing: [],
  },
  arm64: {
    capable: true,
    ready: false,
    accelerator: ["ok", TRIED],
    processor: "4 × 0xd0c",
    missing: [],
  },
  s390x: {
    capable: true,
    ready: false,
    accelerator: ["ok", TRIED],
    processor: "2 × 8561",
    missing: [],
  },
  "laptop-without-vtx": {
    capable: true,
    ready: false,
    accelerator: ["warning", `${TCG}/dev/kvm is missing`, FIRMWARE],
    processor: `2 × Intel(R) Core(TM) i5-4210U CPU @ 1.70GHz, ${NO_FLAG}, LENOVO 20AQ0069GE`,
    missing: NO_KVM,
  },
  "unusable-kvm": {
    capable: true,
    ready: false,
    accelerator: [
      "warning",
      `${TCG}/dev/kvm is there, but the processor shows neither vmx nor svm`,
      FIRMWARE,
    ],
    processor: `2 × Intel(R) Xeon(R) Processor @ 2.60GHz, ${NO_FLAG}; a virtual machine itself`,
    missing: ["vmx", "kvm_intel", "vhost", "vhost_net"],
  },
  container: {
    capable: false,
    ready: false,
    accelerator: ["warning", `${TCG}/dev/kvm is missing`, "give the container the device: --device /dev/kvm"],
    processor: "2 × Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz, with vmx, in a container",
    missing: ["vhost", "vhost_net"],
  },
};

for (const [name, expected] of Object.entries(HOSTS)) {
  test(`check --root judges the snapshot ${name}`, async () => {
    const { status, stdout, stderr } = await runKataRuntime([
      "check",
      "--json",
      "--root",
      `${FIXTURES}/hosts/${name}`,
    ]);
    assertEqual({ status, stderr }, { status: expected.ready ? 0 : 1, stderr: "" });
    const { capable, ready, checks, facts } = JSON.parse(stdout) as CheckJson;
    const of = (check: string) => checks.find((each) => each.name === check);
    const accelerator = of("accelerator");
    const shown = accelerator === undefined ? [] : [accelerator.verdict, accelerator.detail];
    if (accelerator?.fix !== undefined) shown.push(accelerator.fix);
    assertEqual<object>(
      {
        capable,
        ready,
        accelerator: shown,
        processor: of("processor")?.detail,
        missing: facts.map((fact) => fact.name),
      },
      expected,
    );
  });
}

test("check --root keeps upstream's words about KVM on an AKS node, and concludes that it is capable", async () => {
  assertEqual(await runKataRuntime(["check", "--root", `${FIXTURES}/hosts/aks-mshv`]), {
    status: 0,
    stdout: `ok       accelerator  MSHV: /dev/mshv, which Cloud Hypervisor uses
fact     CPU property not found: description="Virtualization support" name=vmx type=flag
fact     kernel property kvm_intel not found: description="Intel KVM" name=kvm_intel type=module
fact     kernel property kvm not found: description="Kernel-based Virtual Machine" name=kvm type=module
System is capable of running Kata Containers
System can currently create Kata Containers
`,
    stderr: "",
  });
});

test("env --root shows an AKS node as upstream does, but for our version and that it is capable", async () => {
  const { status, stdout, stderr } = await runKataRuntime(["env", "--root", `${FIXTURES}/hosts/aks-mshv`]);
  assertEqual({ status, stderr }, { status: 0, stderr: "" });
  const ours = stdout.split("\n");
  const theirs = readTextFile(`${FIXTURES}/azure/aks-node-env.toml`).split("\n");
  const differing = theirs.flatMap((line, index) => (line === ours[index] ? [] : [line]));
  assertEqual(ours.length, theirs.length);
  assertEqual(differing, [
    '    OCI = "1.1.0-rc.1"',
    '      Semver = "3.3.0-alpha0"',
    '      Commit = "f46f3f68609a68891dab34894846b69cbac12a62"',
    "      Major = 3",
    "      Minor = 3",
    "  VMContainerCapable = false",
  ]);
  assert(ours.includes("  VMContainerCapable = true"), stdout);
});

test("env --root shows the monitor's version from the text of its program, and what the kernel protects", async () => {
  const { stdout } = await runKataRuntime(["env", "--json", "--root", `${FIXTURES}/hosts/intel-metal`]);
  const shown = JSON.parse(stdout);
  assertEqual(shown.Hypervisor.Version, "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)");
  assertEqual(shown.Runtime.Path, "/usr/local/bin/kata-runtime");
  // The processor has it, and the kernel does not use it.
  assertEqual(shown.Host.AvailableGuestProtections, []);
  assertEqual([shown.Host.Kernel, shown.Host.Architecture], ["6.1.0-40-amd64", "amd64"]);
});

const PROTECTIONS: Readonly<Record<string, readonly [architecture: string, protections: readonly string[]]>> =
  {
    "amd-metal": ["amd64", ["sev", "snp"]],
    arm64: ["arm64", []],
    s390x: ["s390x", ["se"]],
  };

for (const [name, [architecture, protections]] of Object.entries(PROTECTIONS)) {
  test(`env --root finds architecture and protections of ${name}`, async () => {
    const directory = `/tmp/kata-snapshot-test-${getpid()}`;
    mkdirAll(`${directory}/etc/kata-containers`, 0o700);
    try {
      // env shows a configuration, which this snapshot lacks: a copy gets one.
      const root = `${FIXTURES}/hosts/${name}`;
      const { status, stderr } = await runKataRuntime(["env", "--root", root]);
      assertEqual(status, 1);
      assert(stderr.includes("find configuration"), stderr);
      copyTree(root, directory);
      writeFile(`${directory}/etc/kata-containers/configuration.toml`, "[hypervisor.qemu]\n");
      const { stdout } = await runKataRuntime(["env", "--json", "--root", directory]);
      const { Host } = JSON.parse(stdout);
      assertEqual([Host.Architecture, Host.AvailableGuestProtections], [architecture, protections]);
    } finally {
      removeTree(directory);
    }
  });
}

/** The files of a snapshot that tell architecture and protections. */
function copyTree(from: string, to: string): void {
  for (const path of [
    "proc/cpuinfo",
    "proc/sys/kernel/arch",
    "sys/module/kvm_amd/parameters/sev",
    "sys/module/kvm_amd/parameters/sev_snp",
    "sys/firmware/uv/prot_virt_host",
  ]) {
    const text = readTextFileIfExists(`${from}/${path}`);
    if (text === undefined) continue;
    mkdirAll(`${to}/${path.slice(0, path.lastIndexOf("/"))}`, 0o700);
    writeFile(`${to}/${path}`, text);
  }
}

test("links of a snapshot do not lead out of it", async () => {
  const directory = `/tmp/kata-snapshot-test-${getpid()}`;
  mkdirAll(`${directory}/root/etc`, 0o700);
  mkdirAll(`${directory}/outside`, 0o700);
  try {
    writeFile(`${directory}/outside/cpuinfo`, "processor : 0\nvendor_id : Outside\n");
    writeFile(`${directory}/outside/os-release`, "ID=debian\n");
    symlink("../outside", `${directory}/root/proc`);
    symlink(`${directory}/outside/os-release`, `${directory}/root/etc/os-release`);
    symlink("/dev", `${directory}/root/dev`);
    const { stdout } = await runKataRuntime(["check", "--json", "--root", `${directory}/root`]);
    const { checks } = JSON.parse(stdout) as CheckJson;
    const of = (name: string) => checks.find((each) => each.name === name);
    assertEqual(of("processor")?.detail.slice(0, 4), "0 × ");
    assertEqual(of("TUN")?.detail, "/dev/net/tun: missing");
    assertEqual(of("QEMU")?.fix, "install qemu-system-x86_64 with this system's package manager");
  } finally {
    removeTree(directory);
  }
});

test("check --root of nothing ends with 1 and one line", async () => {
  const { status, stdout, stderr } = await runKataRuntime(["check", "--root", "/nonexistent"]);
  assertEqual({ status, stdout }, { status: 1, stdout: "" });
  assert(/^kata-runtime: open: \/nonexistent: ENOENT\n$/.test(stderr), stderr);
});

runTests();
