/**
 * Keys that the table of a driver may have, so that upstream's files can be used, and that change nothing there although others go by
 * them: each with the reason.
 */
import type { DriverName } from "./key.ts";

const FIXED_SIZE = "its machines keep the size that they boot with";
const NO_FILE_SERVER = "it shares no directories";
const NO_PCI = "its devices are on virtio-mmio";
const ONE_QUEUE = "its disks and cards have one queue of a fixed size";

export const DRIVER_WITHOUT_EFFECT: Readonly<Partial<Record<DriverName, Readonly<Record<string, string>>>>> =
  {
    firecracker: {
      block_device_cache_direct: "it reads and writes through the host's page cache",
      block_device_driver: NO_PCI,
      default_bridges: NO_PCI,
      default_maxmemory: FIXED_SIZE,
      default_maxvcpus: FIXED_SIZE,
      disable_nesting_checks: "whether KVM works is found by trying, in a virtual machine as well",
      enable_mem_prealloc: "it takes memory from the host when the guest uses it",
      hugepage_type: "its huge pages are hugetlbfs's",
      memory_offset: "its machines have no NVDIMMs",
      memory_slots: FIXED_SIZE,
      msize_9p: NO_FILE_SERVER,
      network_queues: ONE_QUEUE,
      num_queues: ONE_QUEUE,
      queue_size: ONE_QUEUE,
      virtio_fs_cache_size: NO_FILE_SERVER,
      virtio_fs_extra_args: NO_FILE_SERVER,
      virtio_fs_is_dax: NO_FILE_SERVER,
      vm_rootfs_driver: NO_PCI,
    },
  };
