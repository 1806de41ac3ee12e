/**
 * The objects of Cloud Hypervisor's API that can be sent, with the types of their fields, and what a value of them lacks.
 * Source: Cloud Hypervisor, vmm/src/api/openapi/cloud-hypervisor.yaml, version 51.
 */
import { faultsOf, type Objects } from "../fields.ts";

// biome-ignore format: a table
const OBJECTS: Objects = {
  VmConfig: { cpus: "CpusConfig", memory: "MemoryConfig", payload: "PayloadConfig*", rate_limit_groups: "RateLimitGroupConfig[]",
    disks: "DiskConfig[]", net: "NetConfig[]", rng: "RngConfig", balloon: "BalloonConfig", fs: "FsConfig[]", pmem: "PmemConfig[]",
    serial: "ConsoleConfig", console: "ConsoleConfig", devices: "DeviceConfig[]", vsock: "VsockConfig", numa: "NumaConfig[]",
    iommu: "boolean", watchdog: "boolean", pvpanic: "boolean", platform: "PlatformConfig", tpm: "TpmConfig", landlock_enable: "boolean",
    landlock_rules: "LandlockConfig[]" },
  PayloadConfig: { firmware: "string", kernel: "string", cmdline: "string", initramfs: "string", igvm: "string", host_data: "string" },
  CpusConfig: { boot_vcpus: "integer*", max_vcpus: "integer*", topology: "CpuTopology", kvm_hyperv: "boolean", max_phys_bits: "integer",
    nested: "boolean", affinity: "CpuAffinity[]", features: "CpuFeatures" },
  CpuTopology: { threads_per_core: "integer", cores_per_die: "integer", dies_per_package: "integer", packages: "integer" },
  CpuAffinity: { vcpu: "integer*", host_cpus: "integer[]*" },
  CpuFeatures: { amx: "boolean" },
  MemoryConfig: { size: "integer*", hotplug_size: "integer", hotplugged_size: "integer", mergeable: "boolean", hotplug_method: "string",
    shared: "boolean", hugepages: "boolean", hugepage_size: "integer", prefault: "boolean", thp: "boolean", zones: "MemoryZoneConfig[]" },
  MemoryZoneConfig: { id: "string*", size: "integer*", file: "string", mergeable: "boolean", shared: "boolean", hugepages: "boolean",
    hugepage_size: "integer", host_numa_node: "integer", hotplug_size: "integer", hotplugged_size: "integer", prefault: "boolean" },
  TokenBucket: { size: "integer*", one_time_burst: "integer", refill_time: "integer*" },
  RateLimiterConfig: { bandwidth: "TokenBucket", ops: "TokenBucket" },
  RateLimitGroupConfig: { id: "string*", rate_limiter_config: "RateLimiterConfig*" },
  VirtQueueAffinity: { queue_index: "integer*", host_cpus: "integer[]*" },
  DiskConfig: { path: "string", readonly: "boolean", direct: "boolean", iommu: "boolean", num_queues: "integer", queue_size: "integer",
    vhost_user: "boolean", vhost_socket: "string", rate_limiter_config: "RateLimiterConfig", pci_segment: "integer", id: "string",
    serial: "string", rate_limit_group: "string", queue_affinity: "VirtQueueAffinity[]", backing_files: "boolean", sparse: "boolean",
    image_type: "FixedVhd|Qcow2|Raw|Vhdx|Unknown" },
  NetConfig: { tap: "string", ip: "string", mask: "string", mac: "string", host_mac: "string", mtu: "integer", iommu: "boolean",
    num_queues: "integer", queue_size: "integer", vhost_user: "boolean", vhost_socket: "string", vhost_mode: "string", id: "string",
    pci_segment: "integer", rate_limiter_config: "RateLimiterConfig", offload_tso: "boolean", offload_ufo: "boolean", offload_csum: "boolean" },
  RngConfig: { src: "string*", iommu: "boolean" },
  BalloonConfig: { size: "integer*", deflate_on_oom: "boolean", free_page_reporting: "boolean" },
  FsConfig: { tag: "string*", socket: "string*", num_queues: "integer*", queue_size: "integer*", pci_segment: "integer", id: "string" },
  PmemConfig: { file: "string*", size: "integer", iommu: "boolean", discard_writes: "boolean", pci_segment: "integer", id: "string" },
  ConsoleConfig: { file: "string", socket: "string", mode: "Off|Pty|Tty|File|Socket|Null*", iommu: "boolean" },
  DeviceConfig: { path: "string*", iommu: "boolean", pci_segment: "integer", id: "string", x_nv_gpudirect_clique: "integer" },
  TpmConfig: { socket: "string*" },
  VsockConfig: { cid: "integer*", socket: "string*", iommu: "boolean", pci_segment: "integer", id: "string" },
  NumaDistance: { destination: "integer*", distance: "integer*" },
  NumaConfig: { guest_numa_id: "integer*", cpus: "integer[]", distances: "NumaDistance[]", memory_zones: "string[]",
    pci_segments: "integer[]", device_id: "string" },
  PlatformConfig: { num_pci_segments: "integer", iommu_segments: "integer[]", iommu_address_width: "integer", serial_number: "string",
    uuid: "string", oem_strings: "string[]", tdx: "boolean", sev_snp: "boolean" },
  LandlockConfig: { path: "string*", access: "string*" },
  VmResize: { desired_vcpus: "integer", desired_ram: "integer", desired_balloon: "integer" },
  VmResizeDisk: { id: "string", desired_size: "integer" },
  VmResizeZone: { id: "string", desired_ram: "integer" },
  VmRemoveDevice: { id: "string" },
  VmSnapshotConfig: { destination_url: "string" },
  RestoreConfig: { source_url: "string*", prefault: "boolean" },
};

/** What is wrong with `value` as an object of type `type`: one line each, empty if nothing is. */
export function faults(value: unknown, type: string): string[] {
  return faultsOf(OBJECTS, value, type);
}
