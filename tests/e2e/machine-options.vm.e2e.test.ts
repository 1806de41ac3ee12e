import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { CACHE, unpackOnce } from "../harness/foreign-guest.ts";
import { GUEST_KERNEL, writeKataConfiguration } from "../harness/kata-configuration.ts";
import { NetworkNamespace } from "../harness/network-namespace.ts";
import { test } from "../harness/workbench.ts";

/** Only QEMU has them, and its PC all of them. */
const isPc = (process.env.KATA_TEST_HYPERVISOR ?? "qemu") === "qemu";

describe.skipIf(!isPc)("a machine of which an operator asks for more", () => {
  test("has an IOMMU and a switch, a filter as it is set, and a second monitor", async ({ bench }) => {
    const configuration = writeKataConfiguration(bench.scratch, "more", {
      "hypervisor.qemu": {
        enable_iommu: true,
        pcie_switch_port: 2,
        seccompsandbox: "on,obsolete=deny,spawn=deny,resourcecontrol=deny",
        enable_debug: true,
        extra_monitor_socket: "hmp",
      },
    });
    const script = "ls /sys/class/iommu; ls /sys/bus/pci/drivers/pcieport | grep -c ^0000; cat /proc/cmdline";
    const result = await bench.run(script, ["--runtime-config-path", configuration]);
    expect(result).toMatchObject({ status: 0 });
    const [iommu, ports, commandLine] = result.stdout.split("\n");
    expect(iommu).toBe("dmar0");
    // The switch's root port, its upstream port and two others, and the port for the clone's share, if it is one.
    expect(Number(ports)).toBeGreaterThanOrEqual(4);
    expect(commandLine).toContain("intel_iommu=on iommu=pt");
  });

  test("boots by a firmware that keeps variables, of which it changes a copy", async ({ bench }) => {
    const directory = join(CACHE, "ovmf/usr/share/OVMF");
    const [code, variables] = [join(directory, "OVMF_CODE.fd"), join(directory, "OVMF_VARS.fd")];
    await unpackOnce("ovmf", undefined, code);
    const before = readFileSync(variables);
    const configuration = writeKataConfiguration(bench.scratch, "firmware", {
      "hypervisor.qemu": {
        firmware: code,
        firmware_volume: variables,
        // A firmware of this kind starts no bare ELF file.
        kernel: GUEST_KERNEL.replace(/vmlinux$/, "vmlinuz"),
      },
    });
    const result = await bench.run("test -d /sys/firmware/efi && echo by EFI", [
      ...["--runtime-config-path", configuration, "--privileged"],
    ]);
    expect(result).toMatchObject({ status: 0, stdout: "by EFI\n" });
    expect(readFileSync(variables).equals(before)).toBe(true);
  });

  test("has a network with several processors on a board without PCI", async ({ bench }) => {
    await using network = await NetworkNamespace.create(bench.ctr.instance.tag);
    const configuration = writeKataConfiguration(bench.scratch, "queues", {
      "hypervisor.qemu": { machine_type: "microvm", default_vcpus: 2 },
    });
    const script = `nproc; ls -d /sys/class/net/eth0/queues/rx-* | wc -l; ping -c 1 -W 20 ${network.hostAddress} | grep received`;
    const result = await bench.run(script, [
      ...["--runtime-config-path", configuration],
      ...["--with-ns", `network:${network.path}`],
    ]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toMatch(/^2\n2\n1 packets transmitted, 1 packets received/);
  });

  test("gives its guest swap space after a while, in a file that has no name", async ({ bench }) => {
    const swap = join(bench.scratch, "swap");
    const configuration = writeKataConfiguration(bench.scratch, "swap", {
      "hypervisor.qemu": {
        enable_guest_swap: true,
        guest_swap_path: swap,
        guest_swap_size_percent: 50,
        guest_swap_create_threshold_secs: 1,
      },
    });
    const script =
      "until grep -q vd /proc/swaps; do sleep 0.2; done; tail -1 /proc/swaps; grep SwapTotal /proc/meminfo";
    const result = await bench.run(script, ["--runtime-config-path", configuration]);
    expect(result).toMatchObject({ status: 0 });
    // Half of 256 MiB, but for the page that says what it is.
    expect(result.stdout).toMatch(/^\/dev\/vd[a-z] +partition\s+131068\s/);
    expect(result.stdout).toMatch(/^SwapTotal: +131068 kB$/m);
    expect(existsSync(swap)).toBe(false);
  });

  test("gives a container the swap space that its annotations ask for, with the limits that they are", async ({
    bench,
  }) => {
    const swap = join(bench.scratch, "container-swap");
    const configuration = writeKataConfiguration(bench.scratch, "container-swap", {
      "hypervisor.qemu": {
        enable_guest_swap: true,
        guest_swap_path: swap,
        guest_swap_create_threshold_secs: 600,
      },
    });
    const prefix = "io.katacontainers.container.resource";
    const flags = [
      ...["--runtime-config-path", configuration],
      ...["--memory-limit", `${64 << 20}`],
      ...["--mount", "type=cgroup,src=cgroup,dst=/cg,options=ro"],
      ...["--annotation", `${prefix}.swappiness=100`],
      ...["--annotation", `${prefix}.swap_in_bytes=${96 << 20}`],
    ];
    const script =
      "tail -1 /proc/swaps; cat /cg/memory.max /cg/memory.swap.max; dd if=/dev/zero of=/dev/shm/x bs=1M count=80 2>/dev/null; grep -c . /dev/shm/x >/dev/null; tail -1 /proc/swaps";
    const result = await bench.run(script, flags);
    expect(result).toMatchObject({ status: 0 });
    const [before, memory, swapped, after = ""] = result.stdout.trim().split("\n");
    expect(before).toMatch(/^\/dev\/vd[a-z] +partition\s+32768\s+0\s/);
    expect([memory, swapped]).toEqual([`${64 << 20}`, `${32 << 20}`]);
    // 80 MiB do not fit into 64.
    expect(Number(after.split(/\s+/)[3])).toBeGreaterThan(16_000);
    expect(existsSync(swap)).toBe(false);
  });

  test("keeps the memory of a guest whose kernel panics, and ends", async ({ bench }) => {
    const dumps = join(bench.scratch, "dumps");
    mkdirSync(dumps);
    const configuration = writeKataConfiguration(bench.scratch, "dump", {
      "hypervisor.qemu": { guest_memory_dump_path: dumps },
    });
    const flags = ["--runtime-config-path", configuration, "--privileged"];
    const result = await bench.run("echo c > /proc/sysrq-trigger; sleep 60", flags);
    expect(result.status).not.toBe(0);
    const [sandbox = ""] = readdirSync(dumps);
    const files = readdirSync(join(dumps, sandbox)).sort();
    expect(files).toEqual(["hypervisor.version", expect.stringMatching(/^vmcore-\d+\.elf$/)]);
    const dump = join(dumps, sandbox, files[1] ?? "");
    expect(readFileSync(dump).subarray(0, 4).toString("latin1")).toBe("\x7fELF");
    expect(statSync(dump).size).toBeGreaterThan(200 << 20);
    expect(statSync(dump).mode & 0o777).toBe(0o600);
    expect(statSync(join(dumps, sandbox)).mode & 0o777).toBe(0o700);
  });
});
