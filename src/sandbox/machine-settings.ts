/** What the configuration says of a machine beside its size and devices. */
import type { Configuration } from "../config/index.ts";
import type { ExtraMonitor, MachineOptions } from "./hypervisor/machine-options.ts";

export function machineOptions({ hypervisor }: Configuration): MachineOptions {
  return {
    systemCallFilter: hypervisor.seccompsandbox,
    firmwareVolume: hypervisor.firmware_volume,
    flashes: hypervisor.pflashes,
    iommu: hypervisor.enable_iommu,
    switchPorts: hypervisor.pcie_switch_port,
    // A person who looks for a fault opens it; otherwise it is one more way into the monitor.
    extraMonitor: hypervisor.enable_debug ? extraMonitor(hypervisor.extra_monitor_socket) : undefined,
    memoryDump:
      hypervisor.guest_memory_dump_path === ""
        ? undefined
        : { directory: hypervisor.guest_memory_dump_path, paging: hypervisor.guest_memory_dump_paging },
    nested: !hypervisor.disable_nested_virtualization,
    // Upstream's: it says more than errors only for debugging.
    verbosity: hypervisor.enable_debug ? hypervisor.hypervisor_loglevel : 0,
    cardRates: {
      bandwidth: hypervisor.net_rate_limiter_bw_max_rate,
      bandwidthBurst: hypervisor.net_rate_limiter_bw_one_time_burst,
      operations: hypervisor.net_rate_limiter_ops_max_rate,
      operationsBurst: hypervisor.net_rate_limiter_ops_one_time_burst,
    },
  };
}

function extraMonitor(name: string): ExtraMonitor | undefined {
  return name === "hmp" || name === "qmp" || name === "qmp-pretty" ? name : undefined;
}
