import { describe, expect, test } from "vitest";
import { defaultConfiguration, parseConfiguration } from "../../config/index.ts";
import { DRIVERS } from "../../config/key.ts";
import { hasCode, KataError } from "../../kata-error.ts";
import { sandboxSettings } from "../../sandbox/settings.ts";
import type { HostFacts } from "../host/host-facts.ts";
import { sampleFacts } from "../host/sample-facts.ts";
import { CHECK_LIST } from "./check-list.ts";
import { DRIVEN, evaluate } from "./evaluate.ts";
import { reportJson, resultLines, verdictLines } from "./report-text.ts";

const MISSING = { usable: false, why: "missing" } as const;
const error = new KataError("invalid-configuration", { operation: "find configuration", object: "/c.toml" });
const defaults = defaultConfiguration("qemu");

/** What is taken away, the check that notices, how bad that is, and what its line and its advice say. */
const LACKS: readonly (readonly [
  what: string,
  changes: Partial<HostFacts>,
  name: string,
  verdict: "ok" | "warning" | "failed",
  detail: RegExp,
  fix: RegExp | undefined,
])[] = [
  [
    "no virtualization",
    {
      accelerator: { accelerator: "tcg", reason: "/dev/kvm is missing" },
      cpu: { vendor: "GenuineIntel", model: "Xeon", count: 1, flags: new Set(["lm", "sse4_1"]) },
    },
    "accelerator",
    "warning",
    /emulation \(TCG\).*slow.*no security boundary.*\/dev\/kvm is missing/,
    /nested virtualization/,
  ],
  [
    "no module for Intel's virtualization",
    { accelerator: { accelerator: "tcg", reason: "/dev/kvm is missing" } },
    "accelerator",
    "warning",
    /TCG/,
    /^modprobe kvm_intel$/,
  ],
  [
    "no module for AMD's virtualization",
    {
      accelerator: { accelerator: "tcg", reason: "/dev/kvm is missing" },
      cpu: { vendor: "AuthenticAMD", model: "EPYC", count: 1, flags: new Set(["svm"]) },
    },
    "accelerator",
    "warning",
    /TCG/,
    /^modprobe kvm_amd$/,
  ],
  [
    "Microsoft's hypervisor",
    { accelerator: { accelerator: "mshv", reason: undefined } },
    "accelerator",
    "warning",
    /MSHV/,
    /\[hypervisor\.clh\]/,
  ],
  [
    "no TUN",
    { devices: { ...sampleFacts().devices, tun: MISSING } },
    "TUN",
    "failed",
    /^\/dev\/net\/tun: missing$/,
    /^modprobe tun/,
  ],
  [
    "no permission for TUN",
    { devices: { ...sampleFacts().devices, tun: { usable: false, why: "no permission" } } },
    "TUN",
    "warning",
    /no permission/,
    /^sudo kata-runtime check$/,
  ],
  [
    "no overlayfs",
    { filesystems: new Set(["ext4"]) },
    "overlayfs",
    "warning",
    /overlay/,
    /^modprobe overlay$/,
  ],
  [
    "no cgroups",
    { cgroups: { mode: "none", controllers: new Set() } },
    "cgroups",
    "failed",
    /\/sys\/fs\/cgroup/,
    /^mount -t cgroup2/,
  ],
  [
    "no memory controller",
    { cgroups: { mode: "legacy", controllers: new Set(["cpu", "pids"]) } },
    "cgroups",
    "warning",
    /version 1 without memory/,
    /cgroup_enable=memory/,
  ],
  [
    "no vsock",
    { devices: { ...sampleFacts().devices, vhostVsock: MISSING } },
    "vsock",
    "ok",
    /virtio-serial/,
    /^modprobe vhost_vsock$/,
  ],
  [
    "no vhost-net",
    { devices: { ...sampleFacts().devices, vhostNet: MISSING } },
    "vhost-net",
    "ok",
    /speed/,
    /^modprobe vhost_net$/,
  ],
  ["not root", { isRoot: false }, "user", "failed", /not root/, /^sudo kata-runtime check$/],
  [
    "no configuration",
    { configuration: { kind: "missing", configuration: defaults, error } },
    "configuration",
    "failed",
    /\/c\.toml.*defaults/,
    /configuration\.toml$/,
  ],
  [
    "a wrong configuration",
    { configuration: { kind: "wrong", configuration: defaults, error } },
    "configuration",
    "failed",
    /\/c\.toml.*defaults/,
    /correct/,
  ],
  [
    "an odd configuration",
    {
      configuration: {
        kind: "read",
        configuration: parseConfiguration('[hypervisor.qemu]\nkernle = "/x"\n', "/c.toml"),
      },
    },
    "configuration",
    "warning",
    /did you mean kernel\?/,
    /edit \/c\.toml/,
  ],
  [
    "another driver",
    {
      configuration: {
        kind: "read",
        configuration: parseConfiguration("[hypervisor.stratovirt]\n", "/c.toml"),
      },
    },
    "configuration",
    "failed",
    /stratovirt/,
    /hypervisor\.qemu/,
  ],
  [
    "no QEMU",
    {
      hypervisor: {
        program: { usable: false, path: "/usr/bin/qemu", why: "missing" },
        version: "",
        error: "missing",
      },
    },
    "QEMU",
    "failed",
    /^\/usr\/bin\/qemu: missing$/,
    /^apt-get install qemu-system-x86$/,
  ],
  [
    "a QEMU that does not run",
    {
      hypervisor: {
        program: { usable: true, path: "/usr/bin/qemu", bytes: 1 },
        version: "",
        error: "not executable",
      },
    },
    "QEMU",
    "failed",
    /not executable/,
    /path of \[hypervisor\.qemu\]/,
  ],
  [
    "no virtiofsd",
    { fileServer: undefined },
    "virtiofsd",
    "failed",
    /\/usr\/libexec\/virtiofsd.*missing/,
    /^apt-get install qemu-system-common$/,
  ],
  [
    "no kernel",
    { kernel: { usable: false, path: "/k/vmlinux", why: "missing", format: "unknown" } },
    "guest kernel",
    "failed",
    /^\/k\/vmlinux: missing$/,
    /npm run image/,
  ],
  [
    "something else as kernel",
    { kernel: { usable: true, path: "/k/vmlinux", bytes: 1, format: "unknown" } },
    "guest kernel",
    "failed",
    /no kernel/,
    /npm run image/,
  ],
  [
    "another architecture's kernel",
    { kernel: { usable: true, path: "/k/vmlinux", bytes: 1, format: "arm64 Image" } },
    "guest kernel",
    "failed",
    /arm64 Image/,
    /npm run image/,
  ],
  [
    "no initrd",
    { root: { usable: false, path: "", why: "not set", kind: "initrd" } },
    "guest initrd",
    "failed",
    /^not set$/,
    /npm run image/,
  ],
  [
    "no containerd",
    { containerd: undefined },
    "containerd",
    "warning",
    /not in PATH/,
    /^apt-get install containerd$/,
  ],
  [
    "a shim that containerd does not find",
    { shim: undefined },
    "containerd",
    "warning",
    /does not find/,
    /containerd-shim-kata-v2/,
  ],
];

const OF_THE_SET_UP = [
  "user",
  "configuration",
  "QEMU",
  "virtiofsd",
  "guest kernel",
  "guest initrd",
  "containerd",
];

test.each(Object.values(DRIVERS))("DRIVEN says of %s what the sandbox says", (driver) => {
  // A named file server is not looked for.
  const text = `[hypervisor.${driver}]\nvirtio_fs_daemon = "/v"\n`;
  const configuration = parseConfiguration(text, "/c.toml");
  let isRefused = false;
  try {
    sandboxSettings(configuration);
  } catch (error) {
    if (!hasCode(error, "unsupported")) throw error;
    isRefused = error.object.startsWith("hypervisor = ");
  }
  expect(isRefused).toBe(!DRIVEN.has(driver));
});

describe("evaluate()", () => {
  test("finds nothing wrong with a host that lacks nothing", () => {
    const report = evaluate(sampleFacts(), true);
    expect(report.results.filter(({ verdict, fix }) => verdict !== "ok" || fix !== undefined)).toEqual([]);
    expect({ capable: report.capable, ready: report.ready }).toEqual({ capable: true, ready: true });
  });

  test.each(LACKS)("notices %s", (_what, changes, name, verdict, detail, fix) => {
    const { results, capable, ready } = evaluate(sampleFacts(changes));
    const result = results.find((each) => each.name === name);
    expect(result?.verdict).toBe(verdict);
    expect(result?.detail).toMatch(detail);
    if (fix !== undefined) expect(result?.fix).toMatch(fix);
    // Nothing else is found wrong.
    expect(results.filter((each) => each !== result && each.verdict !== "ok")).toEqual([]);
    const ofSetUp = OF_THE_SET_UP.includes(name);
    expect({ capable, ready }).toEqual({
      capable: verdict !== "failed" || ofSetUp,
      ready: verdict !== "failed",
    });
  });

  test("advises who is not root to become it before anything else is judged", () => {
    const { results, capable } = evaluate(
      sampleFacts({ isRoot: false, accelerator: { accelerator: "tcg", reason: "open: /dev/kvm: EACCES" } }),
    );
    expect(capable).toBe(true);
    expect(results.find(({ name }) => name === "accelerator")?.fix).toBe("sudo kata-runtime check");
  });

  test.each(LACKS.filter(([, , , verdict]) => verdict === "warning"))(
    "counts %s as a failure if it is to be strict",
    (_what, changes, name) => {
      const { capable, ready } = evaluate(sampleFacts(changes), true);
      expect({ capable, ready }).toEqual({ capable: OF_THE_SET_UP.includes(name), ready: false });
    },
  );
});

describe("evaluate() of a host whose machines are made by a remote hypervisor", () => {
  const text = '[hypervisor.remote]\nremote_hypervisor_socket = "/s.sock"\n';
  const configuration = { kind: "read", configuration: parseConfiguration(text, "/c.toml") } as const;
  const program = { usable: true, path: "/s.sock", bytes: 0 } as const;
  const lacksAll = {
    configuration,
    accelerator: { accelerator: "tcg", reason: "/dev/kvm is missing" },
    fileServer: undefined,
    kernel: { usable: false, path: "", why: "not set", format: "unknown" },
    root: { usable: false, path: "", why: "not set", kind: "initrd" },
  } as const;

  test("asks for nothing that only machines of this host need", () => {
    const hypervisor = { program, version: "0.0.0", error: "" };
    const { results, ready } = evaluate(sampleFacts({ ...lacksAll, hypervisor }), true);
    expect(ready).toBe(true);
    expect(results.map(({ name }) => name)).toEqual([
      "processor",
      "overlayfs",
      "cgroups",
      "user",
      "configuration",
      "a remote hypervisor",
      "containerd",
    ]);
    expect(results[5]).toMatchObject({ verdict: "ok", detail: "/s.sock: 0.0.0" });
  });

  test("names the socket of a service that is not there", () => {
    const hypervisor = { program, version: "", error: "missing" };
    const { results, capable, ready } = evaluate(sampleFacts({ ...lacksAll, hypervisor }));
    expect({ capable, ready }).toEqual({ capable: true, ready: false });
    expect(results[5]).toMatchObject({
      verdict: "failed",
      detail: "/s.sock: missing",
      fix: expect.stringContaining("remote_hypervisor_socket"),
    });
  });
});

test("the list of what is looked at is that of the checks, in their order", () => {
  const shown = { QEMU: "monitor", "guest initrd": "guest root" } as Readonly<Record<string, string>>;
  const looked = evaluate(sampleFacts()).results.map(({ name }) => shown[name] ?? name);
  expect(CHECK_LIST.map(([name]) => name)).toEqual(looked);
});

describe("the report", () => {
  const good = evaluate(sampleFacts());
  const unready = evaluate(sampleFacts({ fileServer: undefined }));
  const incapable = evaluate(sampleFacts({ cgroups: { mode: "none", controllers: new Set() } }));

  test("ends in upstream's sentences", () => {
    expect(verdictLines(good)).toEqual({
      good: ["System is capable of running Kata Containers", "System can currently create Kata Containers"],
      bad: [],
    });
    expect(verdictLines(unready)).toEqual({
      good: ["System is capable of running Kata Containers"],
      bad: ["ERROR: System cannot currently create Kata Containers"],
    });
    expect(verdictLines(incapable)).toEqual({
      good: [],
      bad: ["ERROR: System is not capable of running Kata Containers"],
    });
  });

  test("has a line for each result and the command below it", () => {
    expect(resultLines(unready.results.filter(({ verdict }) => verdict !== "ok"))).toBe(
      "FAILED   virtiofsd  /usr/libexec/virtiofsd, /usr/lib/qemu/virtiofsd: missing\n" +
        "                    → apt-get install qemu-system-common\n",
    );
    expect(resultLines([])).toBe("");
  });

  test("is the same as JSON", () => {
    expect(JSON.parse(reportJson(unready))).toEqual({
      capable: true,
      ready: false,
      checks: unready.results,
      facts: [],
    });
  });
});

describe("Firecracker", () => {
  const text =
    '[hypervisor.firecracker]\nkernel = "/k/vmlinux"\ninitrd = "/k/initrd"\njailer_path = "/usr/bin/jailer"\n';
  const facts = sampleFacts({
    configuration: { kind: "read", configuration: parseConfiguration(text, "/c.toml") },
    hypervisor: {
      program: { usable: true, path: "/usr/bin/firecracker", bytes: 1 },
      version: "Firecracker v1.12.1",
      error: "",
    },
    jailer: { usable: true, path: "/usr/bin/jailer", bytes: 1 },
    fileServer: undefined,
  });

  test("is ready with KVM, its jailer and mkfs.ext4, and needs no file server", () => {
    const report = evaluate(facts);
    expect(report.ready).toBe(true);
    expect(report.results.filter(({ verdict }) => verdict !== "ok")).toEqual([]);
    expect(report.results.find(({ name }) => name === "virtiofsd")?.detail).toMatch(/not needed/);
  });

  test.each<[what: string, changes: Partial<HostFacts>, verdict: string, detail: RegExp]>([
    ["emulation", { accelerator: { accelerator: "tcg", reason: "no" } }, "failed", /runs on KVM alone/],
    [
      "a jailer that is missing",
      { jailer: { usable: false, path: "/j", why: "missing" } },
      "failed",
      /^\/j: missing$/,
    ],
    ["no jailer", { jailer: undefined }, "warning", /sees all of the host's files/],
    ["no mkfs.ext4", { diskMaker: undefined }, "warning", /blockfile and devmapper/],
  ])("with %s says so and what to do", (_what, changes, verdict, detail) => {
    const results = evaluate({ ...facts, ...changes }).results.filter((result) => result.verdict === verdict);
    const found = results.find((result) => detail.test(result.detail));
    expect(found?.fix).toMatch(/./);
  });
});
