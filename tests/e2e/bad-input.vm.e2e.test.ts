import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { type CommandResult, runCommand } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { busyboxImage, importImage } from "../harness/images.ts";
import { processesOf } from "../harness/instance-processes.ts";
import { BUILT_PROGRAMS, type Configuration, writeKataConfiguration } from "../harness/kata-configuration.ts";
import { startKataContainerd } from "../harness/kata-containerd.ts";
import { NetworkNamespace } from "../harness/network-namespace.ts";
import { subject } from "../harness/subject.ts";
import { test } from "../harness/workbench.ts";

/** Demands that the user of ctr sees one line that names `about` and what to do, and that the workload did not start. */
function expectOneLineError(result: CommandResult, ...about: (string | RegExp)[]): void {
  expect(result.status).not.toBe(0);
  expect(result.stdout).toBe("");
  const lines = result.stderr.trimEnd().split("\n");
  expect(lines, result.stderr).toHaveLength(1);
  for (const part of about) expect(lines[0]).toMatch(part);
  // The hint that ends every message of ours, before containerd adds the gRPC code.
  expect(lines[0]).toMatch(/\([^()]{10,}\)(: [\w ]+)*$/);
}

/** What a failed start must not leave running. */
const RUNTIME_PROCESSES = /^(containerd-shim|qemu-system|virtiofsd)/;

const MISSING = "/nonexistent/file";

const refused: [what: string, changes: Configuration, about: (string | RegExp)[]][] = [
  ["whose kernel is missing", { "hypervisor.qemu": { kernel: MISSING } }, [MISSING, "kernel"]],
  ["whose initrd is missing", { "hypervisor.qemu": { initrd: MISSING } }, [MISSING, "initrd"]],
  ["whose image is missing", { "hypervisor.qemu": { image: MISSING, initrd: "" } }, [MISSING, "image"]],
  [
    "whose virtiofsd is missing",
    { "hypervisor.qemu": { virtio_fs_daemon: MISSING } },
    [MISSING, /virtiofsd|virtio_fs_daemon/],
  ],
  ["whose QEMU is missing", { "hypervisor.qemu": { path: MISSING } }, [MISSING]],
  [
    "with a value of the wrong type",
    { "hypervisor.qemu": { default_vcpus: "two" } },
    ["default_vcpus", "two"],
  ],
];

describe("a configuration", () => {
  for (const [what, changes, about] of refused) {
    test(`${what} is refused in one line`, async ({ bench }) => {
      const file = writeKataConfiguration(bench.scratch, "configuration", changes);
      const result = await bench.run("echo started", ["--runtime-config-path", file]);
      expectOneLineError(result, ...about);
    });
  }

  test("that does not exist is refused in one line", async ({ bench }) => {
    const result = await bench.run("echo started", [
      "--runtime-config-path",
      "/nonexistent/configuration.toml",
    ]);
    expectOneLineError(result, "/nonexistent/configuration.toml");
  });

  test("that is not TOML is refused in one line with the line's number", async ({ bench }) => {
    const file = join(bench.scratch, "configuration.toml");
    writeFileSync(file, "[runtime]\n\nenable_debug = \n");
    const result = await bench.run("echo started", ["--runtime-config-path", file]);
    expectOneLineError(result, file, /\b3\b/);
  });

  test("whose QEMU is no program is refused in one line", async ({ bench }) => {
    const path = join(bench.scratch, "qemu");
    writeFileSync(path, "this is no program\n");
    chmodSync(path, 0o755);
    const file = writeKataConfiguration(bench.scratch, "configuration", { "hypervisor.qemu": { path } });
    const result = await bench.run("echo started", ["--runtime-config-path", file]);
    expectOneLineError(result, path);
  });

  test("whose kernel is no kernel is refused in one line, within the time that a boot may take", async ({
    bench,
  }) => {
    const kernel = join(bench.scratch, "vmlinuz");
    writeFileSync(kernel, "this is no kernel\n");
    const file = writeKataConfiguration(bench.scratch, "configuration", { "hypervisor.qemu": { kernel } });
    const result = await bench.run("echo started", ["--runtime-config-path", file]);
    expectOneLineError(result, kernel);
  });
});

describe("a guest that cannot come up", () => {
  test("because its initrd is none is refused in one line, and the reason is the guest kernel's own", async ({
    bench,
  }) => {
    const initrd = join(bench.scratch, "initrd");
    writeFileSync(initrd, "this is no archive\n");
    const file = writeKataConfiguration(bench.scratch, "configuration", { "hypervisor.qemu": { initrd } });
    const result = await bench.run("echo started", ["--runtime-config-path", file]);
    expectOneLineError(result, /Kernel panic/);
  });
});

describe("a container", () => {
  test("whose root directory is missing is refused in one line", async ({ bench }) => {
    const { id, runtime } = bench.request([]);
    const spec = JSON.parse(await bench.ctr.must(["oci", "spec"]));
    spec.root.path = "/nonexistent/rootfs";
    spec.linux.cgroupsPath = `/${bench.ctr.instance.tag}/${id}`;
    const config = join(bench.scratch, "spec.json");
    writeFileSync(config, JSON.stringify(spec));
    expectOneLineError(await bench.ctr.runFromSpec(id, runtime, config), "/nonexistent/rootfs");
  });

  test("whose bundle has no specification is refused by the shim in one line", async ({ bench }) => {
    const bundle = join(bench.scratch, "bundle");
    mkdirSync(bundle);
    const { socket, tag } = bench.ctr.instance;
    const args = [
      "-namespace",
      tag,
      "-address",
      socket,
      "-publish-binary",
      "/bin/true",
      "-id",
      bench.newId(),
      "start",
    ];
    const shim = join(BUILT_PROGRAMS, "containerd-shim-kata-v2");
    const result = await runCommand(shim, args, { cwd: bundle, stdin: "" });
    expectOneLineError(result, join(bundle, "config.json"));
  });

  test("that asks for the host's network is refused in one line", async ({ bench }) => {
    expectOneLineError(await bench.run("echo started", ["--net-host"]), "the host's network");
  });

  test("that needs a network is refused in one line where /dev/net/tun is missing", async ({ bench }) => {
    await using network = await NetworkNamespace.create(bench.ctr.instance.tag);
    await using containerd = await startKataContainerd({ privateMounts: "mount -t tmpfs none /dev/net" });
    const image = await busyboxImage();
    await importImage(containerd.ctr, image);
    const { tag } = containerd.address;
    const flags = ["--with-ns", `network:${network.path}`];
    const command = ["echo", "started"];
    const { runtime } = subject;
    const result = await containerd.ctr.runContainer({
      id: `${tag}-0`,
      image: image.name,
      runtime,
      command,
      flags,
    });
    expectOneLineError(result, "/dev/net/tun");
  });

  test("is refused in one line where /run has no space left", async () => {
    const full = "mount -t tmpfs -o size=4k none /run; head -c 8k /dev/zero > /run/fill || true";
    await using containerd = await startKataContainerd({ privateMounts: full });
    const image = await busyboxImage();
    await importImage(containerd.ctr, image);
    const request = { id: `${containerd.address.tag}-0`, image: image.name, runtime: subject.runtime };
    const result = await containerd.ctr.runContainer({ ...request, command: ["echo", "started"] });
    expectOneLineError(result, /ENOSPC|no space left/i, "/run/");
    await eventually("end of the shim", 10_000, () => {
      const left = processesOf(containerd.address.tag).filter(({ name }) => RUNTIME_PROCESSES.test(name));
      return left.length === 0 || undefined;
    });
  });
});
