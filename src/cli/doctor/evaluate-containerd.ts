/** Judges how containerd is set up for containers in virtual machines. */
import type { DriverName } from "../../config/index.ts";
import type { CheckResult } from "../check/evaluate.ts";
import type { ContainerdRuntime } from "./containerd-configuration.ts";
import type { ContainerdFacts } from "./containerd-facts.ts";

/** Runtimes of Kata: the shim is `containerd-shim-kata-v2`, or one of a name such as `kata-qemu` or `kata-cc`. */
const KATA_TYPE = /^io\.containerd\.kata(-[a-z0-9-]+)?\.v2$/;
/** Those that hand a root file system over as a block device, which Firecracker takes as it is. */
const BLOCK_SNAPSHOTTERS = ["devmapper", "blockfile"];

const RESTART = "systemctl restart containerd";

/** What to write to have a runtime `kata`. */
function addRuntime(version: number): string {
  const plugin = version >= 3 ? "io.containerd.cri.v1.runtime" : "io.containerd.grpc.v1.cri";
  return `add [plugins."${plugin}".containerd.runtimes.kata] with runtime_type = "io.containerd.kata.v2", then ${RESTART}`;
}

/** @param driver monitor of the configuration that counts. */
export function evaluateContainerd(facts: ContainerdFacts, driver: DriverName): readonly CheckResult[] {
  const results: CheckResult[] = [];
  const add = (name: string, verdict: CheckResult["verdict"], detail: string, fix?: string) =>
    results.push({ name, about: "setup", verdict, detail, ...(fix === undefined ? {} : { fix }) });
  if (facts.hasSocket === true) add("containerd's socket", "ok", facts.socket);
  else if (facts.hasSocket === false)
    add(
      "containerd's socket",
      "warning",
      `${facts.socket}: missing: containerd does not run`,
      "systemctl start containerd",
    );
  const { configuration, configurationFile } = facts;
  switch (configuration.kind) {
    case "missing":
      add(
        "containerd's file",
        "warning",
        `${configurationFile}: missing: ctr works, Kubernetes finds no runtime of Kata`,
        `containerd config default >${configurationFile}, and there ${addRuntime(2)}`,
      );
      return results;
    case "wrong":
      add("containerd's file", "failed", configuration.error.message, "correct the file");
      return results;
    case "read":
      break;
  }
  const { runtimes, disabledPlugins, defaultSnapshotter } = configuration.value;
  if (disabledPlugins.some((name) => name === "cri" || name.endsWith(".cri"))) {
    add(
      "containerd's file",
      "warning",
      `${configurationFile}: the plugin cri is disabled: Kubernetes cannot use this containerd`,
      `take "cri" out of disabled_plugins, then ${RESTART}`,
    );
  }
  const kata = runtimes.filter(({ type }) => KATA_TYPE.test(type));
  if (kata.length === 0) {
    add(
      "containerd's file",
      "warning",
      `${configurationFile}: no runtime of Kata; ctr can name one itself`,
      addRuntime(configuration.value.version),
    );
  }
  for (const runtime of kata) {
    const name = `runtime ${runtime.name}`;
    const faults = runtimeFaults(runtime, configuration.missingConfigPaths, defaultSnapshotter, driver);
    for (const { verdict, detail, fix } of faults) add(name, verdict, detail, fix);
    if (faults.length === 0) add(name, "ok", runtime.type);
  }
  return results;
}

interface Fault {
  readonly verdict: "warning" | "failed";
  readonly detail: string;
  readonly fix: string;
}

function runtimeFaults(
  { type, configPath, snapshotter, withoutHostDevices }: ContainerdRuntime,
  missing: ReadonlySet<string>,
  defaultSnapshotter: string,
  driver: DriverName,
): readonly Fault[] {
  const faults: Fault[] = [];
  if (missing.has(configPath)) {
    faults.push({
      verdict: "failed",
      detail: `${configPath}: missing`,
      fix: "correct options.ConfigPath, or write the file",
    });
  }
  const used = snapshotter || defaultSnapshotter || "overlayfs";
  // The runtime's name tells its monitor where several are set up.
  const isFirecracker =
    configPath === "" ? driver === "firecracker" : /-(fc|firecracker)\.toml$/.test(configPath);
  if (isFirecracker && !BLOCK_SNAPSHOTTERS.includes(used)) {
    faults.push({
      verdict: "warning",
      detail: `snapshotter ${used}: Firecracker shares no directories, so that each container starts with a copy of its image as a disk, and nothing of what it writes can be committed`,
      fix: `snapshotter = "devmapper" for this runtime, then ${RESTART}`,
    });
  }
  if (!withoutHostDevices) {
    faults.push({
      verdict: "warning",
      detail: `${type}: privileged containers would get all devices of the host, which fails`,
      fix: "privileged_without_host_devices = true",
    });
  }
  return faults;
}
