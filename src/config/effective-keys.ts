/**
 * The keys that change something in this version. Every other one is read and checked, so that a file made for another
 * version can be used, and has no effect yet. A test compares the list with the code that reads the configuration.
 */
import type { SectionName } from "./configuration.ts";

export const EFFECTIVE_KEYS: Readonly<Record<SectionName, ReadonlySet<string>>> = {
  hypervisor: new Set([
    "cpu_features",
    "default_maxmemory",
    "default_maxvcpus",
    "default_memory",
    "default_vcpus",
    "disable_vhost_net",
    "enable_annotations",
    "enable_debug",
    "enable_hugepages",
    "enable_mem_prealloc",
    "entropy_source",
    "image",
    "initrd",
    "kernel",
    "kernel_params",
    "machine_accelerators",
    "machine_type",
    "path",
    "pcie_root_port",
    "reclaim_guest_freed_memory",
    "rootfs_type",
    "shared_fs",
    "valid_entropy_sources",
    "valid_hypervisor_paths",
    "valid_virtio_fs_daemon_paths",
    "virtio_fs_cache",
    "virtio_fs_daemon",
    "virtio_fs_extra_args",
    "virtio_fs_queue_size",
  ]),
  factory: new Set([]),
  agent: new Set(["dial_timeout", "enable_debug", "kernel_modules"]),
  memAgent: new Set([]),
  runtime: new Set([
    "agent_name",
    "create_container_timeout",
    "disable_guest_seccomp",
    "disable_new_netns",
    "enable_debug",
    "hypervisor_name",
    "internetworking_model",
    "sandbox_cgroup_only",
    "vfio_mode",
  ]),
};
