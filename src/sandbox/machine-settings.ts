/** What the configuration says of a machine beside its size and devices. */
import type { Configuration } from "../config/index.ts";
import { KataError } from "../kata-error.ts";
import type { CardPort } from "./hypervisor/host-card.ts";
import type { ExtraMonitor, MachineOptions } from "./hypervisor/machine-options.ts";
import type { NamedUser } from "./hypervisor/monitor-user.ts";
import { cardWindows } from "./vfio/card-windows.ts";

/** @throws KataError `unsupported` for a way to attach disks that this version does not have. */
export function machineOptions({ driver, hypervisor }: Configuration): MachineOptions {
  return {
    diskBus: driver === "qemu" ? diskBus(hypervisor.block_device_driver) : "virtio-blk",
    scsiThread: hypervisor.enable_iothreads,
    systemCallFilter: hypervisor.seccompsandbox,
    firmwareVolume: hypervisor.firmware_volume,
    flashes: hypervisor.pflashes,
    iommu: hypervisor.enable_iommu,
    iommuPlatform: hypervisor.enable_iommu_platform,
    switchPorts: hypervisor.pcie_switch_port,
    cardPort: cardPort(hypervisor.hot_plug_vfio),
    cardWindows: driver === "qemu" && hypervisor.hot_plug_vfio !== "no-port" ? cardWindows() : undefined,
    // A person who looks for a fault opens it; otherwise it is one more way into the monitor.
    extraMonitor: hypervisor.enable_debug ? extraMonitor(hypervisor.extra_monitor_socket) : undefined,
    memoryDump:
      hypervisor.guest_memory_dump_path === ""
        ? undefined
        : { directory: hypervisor.guest_memory_dump_path, paging: hypervisor.guest_memory_dump_paging },
    nested: !hypervisor.disable_nested_virtualization,
    // Upstream's: it says more than errors only for debugging.
    verbosity: hypervisor.enable_debug ? hypervisor.hypervisor_loglevel : 0,
    landlock: hypervisor.enable_landlock ? hypervisor.landlock_paths : undefined,
    cardRates: {
      bandwidth: hypervisor.net_rate_limiter_bw_max_rate,
      bandwidthBurst: hypervisor.net_rate_limiter_bw_one_time_burst,
      operations: hypervisor.net_rate_limiter_ops_max_rate,
      operationsBurst: hypervisor.net_rate_limiter_ops_one_time_burst,
    },
  };
}

/** Other monitors have one way alone. */
function diskBus(name: string): MachineOptions["diskBus"] {
  if (name === "virtio-scsi") return name;
  if (name === "virtio-blk" || name === "virtio-blk-pci") return "virtio-blk";
  throw refused(
    "unsupported",
    `block_device_driver = ${JSON.stringify(name)}`,
    "QEMU's disks are virtio-blk or virtio-scsi",
  );
}

function cardPort(name: string): CardPort | undefined {
  return name === "root-port" || name === "switch-port" || name === "bridge-port" ? name : undefined;
}

function extraMonitor(name: string): ExtraMonitor | undefined {
  return name === "hmp" || name === "qmp" || name === "qmp-pretty" ? name : undefined;
}

/** Who monitors run as: root, or somebody who is nobody else. */
export type MonitorIdentity =
  | { readonly kind: "root" }
  /** @param named undefined for a number that nobody has. */
  | { readonly kind: "own"; readonly named: NamedUser | undefined };

/** @throws KataError `unsupported` for a monitor or device that root alone can do, `invalid-configuration` for a user that is none. */
export function monitorIdentity({ driver, hypervisor }: Configuration): MonitorIdentity {
  if (!hypervisor.rootless) return { kind: "root" };
  if (driver !== "qemu" && driver !== "clh") {
    throw refused(
      "unsupported",
      "rootless = true",
      ROOT_ALONE[driver] ?? "use [hypervisor.qemu] or [hypervisor.clh]",
    );
  }
  for (const key of ["cold_plug_vfio", "hot_plug_vfio"] as const) {
    if (hypervisor[key] === "no-port") continue;
    throw refused("unsupported", "rootless = true", `devices of the host are root's; set ${key} to no-port`);
  }
  return { kind: "own", named: namedUser(hypervisor.rootless_user) };
}

const ROOT_ALONE: Readonly<Partial<Record<Configuration["driver"], string>>> = {
  firecracker:
    "Firecracker is root in its jailer's jail (jailer_path), where it has its own files alone; use [hypervisor.qemu] or [hypervisor.clh]",
  remote: "who makes machines on other hosts decides who their monitors are; set it there",
};

function namedUser(table: Readonly<Record<string, unknown>>): NamedUser | undefined {
  if (Object.keys(table).length === 0) return undefined;
  const { uid, gid = uid, groups = [] } = table;
  const unknown = Object.keys(table).find((key) => !["uid", "gid", "groups", "user_name"].includes(key));
  if (unknown !== undefined)
    throw refused(
      "invalid-configuration",
      `rootless_user.${unknown}`,
      "it has uid, gid, groups and user_name",
    );
  if (!isId(uid) || !isId(gid) || !Array.isArray(groups) || !groups.every(isId)) {
    throw refused(
      "invalid-configuration",
      "rootless_user",
      "uid, gid and groups are numbers of somebody else than root",
    );
  }
  return { uid, gid, groups };
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) < 2 ** 32 - 1;
}

function refused(code: string, object: string, hint: string): KataError {
  return new KataError(code, { operation: "read configuration", object, hint });
}
