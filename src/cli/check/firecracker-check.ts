/** What Firecracker needs of a host besides its program: KVM that works, its jailer, and a way to make disks of root filesystems. */
import type { HostFacts } from "../host/host-facts.ts";
import type { CheckResult } from "./evaluate.ts";
import { installCommand } from "./install-command.ts";

/** Nothing for another monitor. */
export function checkFirecracker({
  configuration: { configuration },
  accelerator: { accelerator },
  jailer,
  diskMaker,
  distribution,
}: HostFacts): CheckResult[] {
  if (configuration.driver !== "firecracker") return [];
  const base = { about: "setup" } as const;
  const results: CheckResult[] = [];
  if (accelerator !== "kvm") {
    results.push({
      ...base,
      name: "KVM for Firecracker",
      verdict: "failed",
      detail: "Firecracker runs on KVM alone, and does not emulate a processor",
      fix: accelerator === "mshv" ? "use [hypervisor.clh]" : "use [hypervisor.qemu], or a host with KVM",
    });
  }
  if (jailer === undefined) {
    results.push({
      ...base,
      name: "jailer",
      verdict: "warning",
      detail: "jailer_path is empty: Firecracker sees all of the host's files, as root",
      fix: "set jailer_path of [hypervisor.firecracker] to the jailer that comes with it",
    });
  } else if (jailer.usable) {
    results.push({ ...base, name: "jailer", verdict: "ok", detail: jailer.path });
  } else {
    results.push({
      ...base,
      name: "jailer",
      verdict: "failed",
      detail: `${jailer.path}: ${jailer.why}`,
      fix: "set jailer_path of [hypervisor.firecracker] to the jailer that comes with it",
    });
  }
  results.push(
    diskMaker === undefined
      ? {
          ...base,
          name: "disks of root filesystems",
          verdict: "warning",
          detail: "mkfs.ext4 is missing: only containers of the snapshotters blockfile and devmapper start",
          fix: installCommand("mkfs.ext4", distribution),
        }
      : {
          ...base,
          name: "disks of root filesystems",
          verdict: "ok",
          detail: `${diskMaker} makes them where the snapshotter does not`,
        },
  );
  return results;
}
