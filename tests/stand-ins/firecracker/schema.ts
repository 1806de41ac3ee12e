/**
 * The objects of Firecracker's API that can be sent, with the types of their fields.
 * Source: Firecracker, src/firecracker/swagger/firecracker.yaml, version 1.12.1.
 */
import { faultsOf, type Objects } from "../fields.ts";

// biome-ignore format: a table
const OBJECTS: Objects = {
  Balloon: { amount_mib: "integer*", deflate_on_oom: "boolean*", stats_polling_interval_s: "integer" },
  BalloonUpdate: { amount_mib: "integer*" },
  BalloonStatsUpdate: { stats_polling_interval_s: "integer*" },
  BootSource: { boot_args: "string", initrd_path: "string", kernel_image_path: "string*" },
  CpuConfig: { cpuid_modifiers: "object", msr_modifiers: "object", reg_modifiers: "object", vcpu_features: "object", kvm_capabilities: "object" },
  Drive: { drive_id: "string*", partuuid: "string", is_root_device: "boolean*", cache_type: "Unsafe|Writeback", is_read_only: "boolean",
    path_on_host: "string", rate_limiter: "RateLimiter", io_engine: "Sync|Async", socket: "string" },
  InstanceActionInfo: { action_type: "FlushMetrics|InstanceStart|SendCtrlAltDel*" },
  Logger: { level: "Error|Warning|Info|Debug|Trace|Off", log_path: "string", show_level: "boolean", show_log_origin: "boolean", module: "string" },
  MachineConfiguration: { cpu_template: "C3|T2|T2S|T2CL|T2A|V1N1|None", smt: "boolean", mem_size_mib: "integer*", track_dirty_pages: "boolean",
    vcpu_count: "integer*", huge_pages: "None|2M" },
  MemoryBackend: { backend_type: "File|Uffd*", backend_path: "string*" },
  Metrics: { metrics_path: "string*" },
  MmdsConfig: { version: "V1|V2", network_interfaces: "string[]*", ipv4_address: "string" },
  NetworkInterface: { guest_mac: "string", host_dev_name: "string*", iface_id: "string*", rx_rate_limiter: "RateLimiter", tx_rate_limiter: "RateLimiter" },
  NetworkOverride: { iface_id: "string*", host_dev_name: "string*" },
  PartialDrive: { drive_id: "string*", path_on_host: "string", rate_limiter: "RateLimiter" },
  PartialNetworkInterface: { iface_id: "string*", rx_rate_limiter: "RateLimiter", tx_rate_limiter: "RateLimiter" },
  RateLimiter: { bandwidth: "TokenBucket", ops: "TokenBucket" },
  SnapshotCreateParams: { mem_file_path: "string*", snapshot_path: "string*", snapshot_type: "Full|Diff" },
  SnapshotLoadParams: { enable_diff_snapshots: "boolean", mem_file_path: "string", mem_backend: "MemoryBackend", snapshot_path: "string*",
    resume_vm: "boolean", network_overrides: "NetworkOverride[]" },
  TokenBucket: { one_time_burst: "integer", refill_time: "integer*", size: "integer*" },
  Vm: { state: "Paused|Resumed*" },
  EntropyDevice: { rate_limiter: "RateLimiter" },
  Vsock: { guest_cid: "integer*", uds_path: "string*", vsock_id: "string" },
};

/** What is wrong with `value` as an object of type `type`: one line each, empty if nothing is. */
export function faults(value: unknown, type: string): string[] {
  return faultsOf(OBJECTS, value, type);
}
