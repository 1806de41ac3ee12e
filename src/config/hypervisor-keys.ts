/** Keys of `[hypervisor.NAME]`, and what annotations may say about the machine. Sizes in MiB where nothing else is said. */
import { choice, flag, integer, number, path, table, tables, text, texts } from "./key.ts";

const MAX_I64 = Number.MAX_SAFE_INTEGER;
const SHARE = "/usr/share/kata-containers";

/** Where distributions put virtiofsd; the first that exists is used if the file names none. */
export const VIRTIOFSD_PATHS: readonly string[] = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/** What a pod may say to the file server: nothing that names a path, a user or a confinement. */
const HARMLESS_FILE_SERVER_ARGUMENTS = [
  /^--thread-pool-size=\d{1,3}$/,
  /^--(no-)?announce-submounts$/,
  /^--(no-)?xattr$/,
];

/** Switches of the board. Not among them: what loads a file of the host, such as `firmware`. */
const HARMLESS_BOARD_OPTIONS = [
  /^no(smm|smbus|sata|pit|fw)$/,
  /^static-prt$/,
  /^(smm|hmat|nvdimm|pit|pic|rtc|vmport)=(on|off|auto)$/,
];

/** Flags of a CPU are switched on and off. */
const HARMLESS_CPU_OPTIONS = [/^[+-]?[a-z0-9][a-z0-9._-]*$/, /^[a-z0-9][a-z0-9._-]*=(on|off)$/];

const QEMU = "/usr/bin/qemu-system-x86_64";

// biome-ignore format: a table
export const HYPERVISOR_KEYS = {
  // Programs and guest assets
  path: path(QEMU, "Program of the virtual machine monitor.", { annotation: true, validBy: "valid_hypervisor_paths", shown: true,
    driverDefaults: { clh: "/usr/bin/cloud-hypervisor", firecracker: "/usr/bin/firecracker", remote: "", stratovirt: "/usr/bin/stratovirt", dragonball: "", openvmm: "/usr/bin/openvmm" } }),
  valid_hypervisor_paths: texts([QEMU], "Globs of programs that the annotation `path` may name.",
    { driverDefaults: { clh: ["/usr/bin/cloud-hypervisor"], firecracker: ["/usr/bin/firecracker"], remote: [], stratovirt: ["/usr/bin/stratovirt"], dragonball: [], openvmm: ["/usr/bin/openvmm"] } }),
  ctlpath: path("", "Control program of the monitor.", { drivers: "DCO", dialect: "rs", validBy: "valid_ctlpaths", withoutEffect: "none of this version's drivers has a control program" }),
  valid_ctlpaths: texts([], "Globs of programs that `ctlpath` may be set to.", { drivers: "DCO", dialect: "rs", withoutEffect: "none of this version's drivers has a control program" }),
  jailer_path: path("/usr/bin/jailer", "Program that confines the monitor.", { drivers: "FQ", annotation: true, validBy: "valid_jailer_paths", driverDefaults: { qemu: "" } }),
  valid_jailer_paths: texts(["/usr/bin/jailer"], "Globs of programs that the annotation `jailer_path` may name.", { drivers: "FQ" }),
  kernel: path(`${SHARE}/vmlinux.container`, "Guest kernel.", { annotation: true, shown: true, driverDefaults: { remote: "" } }),
  image: text("", "Root disk of the guest, an absolute path; either this or `initrd`. For remote, the cloud's name of it.", { annotation: true }),
  initrd: path(`${SHARE}/kata-containers-initrd.img`, "Initial RAM disk that is the guest's root; either this or `image`. With `kernel_verity_params` it is what opens `image`.", { annotation: true, shown: true, driverDefaults: { remote: "" } }),
  rootfs_type: choice(["ext4", "xfs", "erofs"], "File system of `image`."),
  vm_rootfs_driver: text("", "Bus of the guest's root disk; the driver's usual one if empty.", { dialect: "rs", withoutEffect: "the guest's own disk is virtio-blk: every kernel has it, and dm-verity works over it" }),
  firmware: path("", "Firmware of the machine.", { drivers: "QCDR", annotation: true }),
  firmware_volume: path("", "Variables of the firmware, if they are a file of their own.", { drivers: "Q", dialect: "go", annotation: true }),
  pflashes: texts([], "Flash images, for Arm machines.", { drivers: "Q" }),
  machine_type: text("q35", "Kind of machine; for remote, the cloud's name of it.", { drivers: "QSR", annotation: true, driverDefaults: { stratovirt: "microvm", remote: "" } }),
  machine_accelerators: text("", "More properties of the machine, separated by commas.", { drivers: "Q", annotation: true, podItems: HARMLESS_BOARD_OPTIONS }),
  cpu_features: text("pmu=off", "More properties of the CPU, separated by commas.", { drivers: "Q", annotation: true, podItems: HARMLESS_CPU_OPTIONS }),
  kernel_params: text("cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1", "Parameters that are put behind those of the runtime on the kernel's command line.", { annotation: true, appends: true, shown: true }),
  kernel_verity_params: text("", "dm-verity of the root disk: `root_hash=…,salt=…,data_blocks=…,data_block_size=…,hash_block_size=…`.", { annotation: true }),
  seccompsandbox: text("", "Filter of system calls for the monitor itself: `on,obsolete=deny,spawn=deny,resourcecontrol=deny`.", { drivers: "Q", aliases: ["seccomp_sandbox"] }),
  rootless: flag(false, "Run the monitor as a user of its own.", { drivers: "QCO", annotation: true }),
  rootless_user: table("The user for `rootless`: `uid`, `gid`, `groups`; a number that nobody has if there is none.", { drivers: "QC", dialect: "rs" }),
  enable_annotations: texts(["enable_iommu", "kernel_params", "kernel_verity_params"], "Regular expressions for the annotations that pods may set, without their prefix.",
    { shown: true, driverDefaults: { remote: ["machine_type", "default_memory", "default_vcpus", "image", "default_gpus", "default_gpu_model", "cc_init_data"] } }),
  // CPUs and memory
  default_vcpus: number(1, "CPUs of the machine; a fraction is rounded up together with the containers' limits. 0 is one, less is all of the host's.", { annotation: true, shown: true, max: 1024 }),
  overhead_vcpus: number(0, "CPUs that the machine needs besides what is asked for.", { dialect: "rs", min: 0, max: 1024 }),
  overhead_memory: integer(0, "Memory that the machine needs besides what is asked for.", { dialect: "rs" }),
  default_maxvcpus: integer(0, "Most CPUs after hot-plugging; 0 is as many as the host has.", { annotation: "default_max_vcpus", otherAnnotations: ["default_maxvcpus"] }),
  disable_nested_virtualization: flag(false, "Offer no virtualization to the guest.", { drivers: "C", dialect: "rs" }),
  default_bridges: integer(1, "PCI bridges for hot-plugging.", { drivers: "QFRSC", max: 5, withoutEffect: "a machine has the one bridge that takes all devices that are plugged in; `pcie_root_port` adds ports" }),
  default_memory: integer(2048, "Memory of the machine at boot.", { annotation: true, shown: true }),
  memory_slots: integer(10, "Memory modules that can be hot-plugged.", { annotation: true, max: 255 }),
  default_maxmemory: integer(0, "Most memory after hot-plugging; 0 is as much as the host has.", { max: MAX_I64 }),
  memory_offset: integer(0, "Address space beside the memory, for NVDIMMs.", { drivers: "QFS", annotation: true, max: MAX_I64, withoutEffect: "no NVDIMM is plugged in, and the space for more memory follows from `default_maxmemory`" }),
  enable_virtio_mem: flag(false, "Grow memory by virtio-mem instead of modules.", { drivers: "QC", annotation: true }),
  enable_mem_prealloc: flag(false, "Take all memory from the host at boot.", { drivers: "QF", annotation: true }),
  reclaim_guest_freed_memory: flag(false, "Give memory that the guest frees back to the host.", { drivers: "QCD", annotation: true }),
  enable_hugepages: flag(false, "Guest memory in huge pages.", { drivers: "QCFD", annotation: true }),
  hugepage_type: choice(["hugetlbfs", "thp"], "Kind of huge pages.", { dialect: "rs", annotation: true }),
  enable_numa: flag(false, "Show the host's NUMA nodes to the guest.", { drivers: "Q", dialect: "go" }),
  numa_mapping: texts([], "Host nodes for each node of the guest.", { drivers: "Q", dialect: "go", annotation: true }),
  enable_guest_swap: flag(false, "Give the guest swap space on the host: some after a while, and what containers ask for by the annotations `io.katacontainers.container.resource.swappiness` and `….swap_in_bytes`.", { drivers: "QCDO", annotation: true }),
  guest_swap_path: path("/run/kata-containers/swap", "Directory of the swap files.", { drivers: "QCDO", dialect: "rs" }),
  guest_swap_size_percent: integer(100, "Size of the swap space, percent of the memory.", { drivers: "QCDO", dialect: "rs", min: 1, max: 1000 }),
  guest_swap_create_threshold_secs: integer(60, "Seconds that a machine lives before it gets swap space.", { drivers: "QCDO", dialect: "rs" }),
  // Sharing files
  disable_block_device_use: flag(false, "Never hand a root filesystem that is a block device to the guest as a disk.", { annotation: true }),
  shared_fs: choice(["virtio-fs", "virtio-fs-nydus", "inline-virtio-fs", "virtio-9p", "none"], "How host files get into the guest.",
    { annotation: true, shown: true, driverDefaults: { dragonball: "inline-virtio-fs", firecracker: "none", remote: "none" } }),
  virtio_fs_daemon: path("", "Program of the file server; if empty, the first that is there of `valid_virtio_fs_daemon_paths`.", { drivers: "QCSO", annotation: true, validBy: "valid_virtio_fs_daemon_paths" }),
  valid_virtio_fs_daemon_paths: texts(VIRTIOFSD_PATHS, "Globs of programs that the annotation `virtio_fs_daemon` may name.", { drivers: "QCSO" }),
  virtio_fs_cache: choice(["auto", "never", "metadata", "always"], "How long the guest trusts what it has read.", { drivers: "QCDSO", annotation: true }),
  virtio_fs_cache_size: integer(0, "Window of the host's page cache in the guest (DAX).", { annotation: true, withoutEffect: "no released monitor has a DAX window for a file server of its own process" }),
  virtio_fs_is_dax: flag(false, "Use the DAX window.", { dialect: "rs", withoutEffect: "no released monitor has a DAX window for a file server of its own process" }),
  virtio_fs_queue_size: integer(1024, "Requests that wait for the file server.", { drivers: "QCO", min: 1, max: 32_768 }),
  // Announced, a mount of the host is a file system of its own in the guest, which Linux takes down while a closed file's release
  // is under way: "Busy inodes after unmount", a crash where the kernel is built to stop at that, as Debian's 6.1 is.
  virtio_fs_extra_args: texts(["--thread-pool-size=1", "--no-announce-submounts"], "More arguments of the file server.", { annotation: true, podItems: HARMLESS_FILE_SERVER_ARGUMENTS }),
  msize_9p: integer(8192, "Largest 9p message, bytes.", { drivers: "QF", annotation: true, min: 4096, withoutEffect: "files are shared by virtio-fs, never by 9p" }),
  prefetch_list_path: path("", "Files that a lazy image loads first.", { drivers: "D", dialect: "rs", annotation: "prefetch_files.list", withoutEffect: "lazy images are Dragonball's, which has no driver in this version" }),
  // Disks
  block_device_driver: text("virtio-blk", "How disks are attached: QEMU's as `virtio-blk` or behind a controller, `virtio-scsi`; other monitors have one way.", { annotation: true,
    oneOf: ["virtio-scsi", "virtio-blk", "virtio-blk-pci", "virtio-blk-mmio", "virtio-mmio", "virtio-blk-ccw", "nvdimm", "virtio-pmem"],
    driverDefaults: { clh: "virtio-blk", firecracker: "virtio-mmio", stratovirt: "virtio-mmio", dragonball: "virtio-blk-pci", openvmm: "virtio-blk-pci" } }),
  block_device_aio: choice(["io_uring", "threads", "native"], "How the monitor reads and writes disks.", { drivers: "Q", annotation: true }),
  block_device_cache_set: flag(false, "Set the two cache modes below.", { drivers: "QCFS", annotation: true }),
  block_device_cache_direct: flag(false, "Go past the host's page cache.", { drivers: "QCFS", annotation: true }),
  block_device_cache_noflush: flag(false, "Ignore the guest's wish to have data on the disk.", { drivers: "QCFS", annotation: true }),
  block_device_logical_sector_size: integer(0, "Bytes; 0 or a power of two from 512 to 65536.", { drivers: "QS", annotation: "blk_logical_sector_size", max: 65_536 }),
  block_device_physical_sector_size: integer(0, "Bytes; 0 or a power of two from 512 to 65536, not below the logical size.", { drivers: "QS", annotation: "blk_physical_sector_size", max: 65_536 }),
  num_queues: integer(1, "Queues of a disk.", { dialect: "rs", annotation: "block_device_num_queues", min: 1, max: 1024 }),
  queue_size: integer(128, "Requests in a disk's queue.", { dialect: "rs", annotation: "block_device_queue_size", min: 1, max: 32_768 }),
  enable_iothreads: flag(false, "A thread of its own for the SCSI controller.", { drivers: "Q", annotation: true }),
  indep_iothreads: integer(0, "Threads for disks that are hot-plugged; they share one if 0.", { drivers: "Q", annotation: true, max: 1024 }),
  disk_rate_limiter_bw_max_rate: integer(0, "Bits per second of a disk; 0 is without limit.", { drivers: "CQF", max: MAX_I64 }),
  disk_rate_limiter_bw_one_time_burst: integer(0, "Bits beyond that once.", { drivers: "CQF", max: MAX_I64 }),
  disk_rate_limiter_ops_max_rate: integer(0, "Operations per second of a disk; 0 is without limit.", { drivers: "CQF", max: MAX_I64 }),
  disk_rate_limiter_ops_one_time_burst: integer(0, "Operations beyond that once.", { drivers: "CQF", max: MAX_I64 }),
  disable_image_nvdimm: flag(false, "Attach `image` as a disk instead of an NVDIMM.", { drivers: "QC", annotation: true, driverDefaults: { clh: true }, withoutEffect: "`image` is a virtio-blk disk in any case: every kernel has it, dm-verity works over it, and an NVDIMM saves memory only with an image that has a header for DAX" }),
  enable_vhost_user_store: flag(false, "Disks served by vhost-user processes.", { drivers: "Q", annotation: true }),
  vhost_user_store_path: path("/var/run/kata-containers/vhost-user", "Directory of their sockets and nodes.", { drivers: "Q", annotation: true, validBy: "valid_vhost_user_store_paths" }),
  valid_vhost_user_store_paths: texts(["/var/run/kata-containers/vhost-user"], "Globs for the annotation `vhost_user_store_path`.", { drivers: "Q" }),
  vhost_user_reconnect_timeout_sec: integer(0, "Seconds between tries to reach such a process again; 0 is never.", { drivers: "Q", annotation: true }),
  // Network
  net_rate_limiter_bw_max_rate: integer(0, "Bits per second of an interface; 0 is without limit.", { drivers: "C", dialect: "go", max: MAX_I64 }),
  net_rate_limiter_bw_one_time_burst: integer(0, "Bits beyond that once.", { drivers: "C", dialect: "go", max: MAX_I64 }),
  net_rate_limiter_ops_max_rate: integer(0, "Packets per second of an interface; 0 is without limit.", { drivers: "C", dialect: "go", max: MAX_I64 }),
  net_rate_limiter_ops_one_time_burst: integer(0, "Packets beyond that once.", { drivers: "C", dialect: "go", max: MAX_I64 }),
  rx_rate_limiter_max_rate: integer(0, "Bits per second that a pod receives; 0 is without limit.", { drivers: "QF", annotation: true, max: MAX_I64 }),
  tx_rate_limiter_max_rate: integer(0, "Bits per second that a pod sends; 0 is without limit.", { drivers: "QF", annotation: true, max: MAX_I64 }),
  network_queues: integer(1, "Queue pairs of an interface.", { dialect: "rs", annotation: true, min: 1, max: 256 }),
  disable_vhost_net: flag(false, "Packets go through the monitor instead of the host's kernel.", { drivers: "QD", annotation: true }),
  // Devices
  enable_iommu: flag(false, "Give the guest an IOMMU.", { drivers: "QC", annotation: true }),
  enable_iommu_platform: flag(false, "Virtio devices ask the guest for the memory that they use, as Secure Execution needs it; no server of files does that.", { drivers: "Q", annotation: true }),
  hot_plug_vfio: choice(["no-port", "bridge-port", "root-port", "switch-port"], "Where a container's VFIO devices are plugged in: in QEMU's machine into a port of `pcie_root_port` or `pcie_switch_port`, or the bridge.", { drivers: "QC", annotation: true }),
  cold_plug_vfio: choice(["no-port", "bridge-port", "root-port", "switch-port"], "Where network cards of the host (VFIO) are plugged in before the machine boots.", { drivers: "QC", annotation: true }),
  pcie_root_port: integer(0, "PCIe root ports made at boot.", { drivers: "Q", annotation: true, max: 16 }),
  pcie_switch_port: integer(0, "PCIe switch ports made at boot.", { drivers: "Q", annotation: true, max: 16 }),
  entropy_source: path("/dev/urandom", "Where the guest's randomness comes from; none if empty.", { drivers: "QFS", annotation: true, validBy: "valid_entropy_sources" }),
  valid_entropy_sources: texts(["/dev/urandom", "/dev/random", ""], "Globs for the annotation `entropy_source`.", { drivers: "QFS" }),
  guest_hook_path: text("", "Directory in the guest with hooks for containers.", { annotation: true }),
  guest_extension_images: tables("Disks with EROFS that the guest mounts at `/run/kata-extensions/NAME` before it answers, by qemu and clh: `name`, `path`, and `verity_params` of one with hashes, as `kernel_verity_params`."),
  use_legacy_serial: flag(false, "An ISA serial line as console.", { drivers: "Q", dialect: "go", annotation: true, withoutEffect: "the console is the board's own serial line already" }),
  // Confidential guests
  confidential_guest: flag(false, "Protect the guest's memory from the host, by what the host has for it.", { drivers: "QC" }),
  sev_snp_guest: flag(false, "Use SEV-SNP.", { drivers: "Q" }),
  igvm: path("", "File with firmware, kernel and parameters of a confidential guest, as Azure's nodes have it.", { drivers: "C", dialect: "ours" }),
  snp_id_block: text("", "ID block of the launch, base64.", { drivers: "Q" }),
  snp_id_auth: text("", "Authentication of the ID block, base64.", { drivers: "Q" }),
  snp_guest_policy: integer(196_608, "Policy bits of the launch.", { drivers: "Q", max: MAX_I64 }),
  tdx_quote_generation_service_socket_port: integer(0, "Port of the quote service; 0 is its unix socket.", { drivers: "Q" }),
  measurement_algo: choice(["sha512", "sha384", "sha256"], "Digest of what is measured.", { drivers: "Q", dialect: "go", withoutEffect: "the initdata tells its own digest's algorithm" }),
  initdata: text("", "Data for the guest's attestation, if a pod brings none.", { dialect: "rs", annotation: "cc_init_data" }),
  disable_selinux: flag(false, "Give the monitor no SELinux label.", { withoutEffect: "the monitor keeps the label of the shim: it is never given another" }),
  disable_guest_selinux: flag(true, "No SELinux in the guest.", { withoutEffect: "the guest's kernel runs without SELinux (`selinux=0`)" }),
  selinux_label: text("", "Label of the guest's containers.", { dialect: "rs", withoutEffect: "the guest's kernel runs without SELinux (`selinux=0`)" }),
  disable_seccomp: flag(false, "No filter of system calls for the monitor.", { drivers: "CDFO" }),
  enable_landlock: flag(false, "The monitor confines itself, by Landlock, to files of its machine, those in /dev and `landlock_paths`.", { drivers: "C", dialect: "ours" }),
  landlock_paths: texts([], "Directories and files that disks of containers may be besides: of direct volumes, or of a snapshotter.", { drivers: "C", dialect: "ours" }),
  disable_nesting_checks: flag(false, "Do not look whether the host is a virtual machine itself.", { drivers: "QFSD", withoutEffect: "nothing depends on whether the host is a virtual machine: a vCPU is tried instead" }),
  // Finding faults
  enable_debug: flag(false, "Log what the monitor and the guest's console say."),
  hypervisor_loglevel: integer(1, "How much the monitor says.", { drivers: "C", dialect: "go", max: 3 }),
  log_level: choice(["info", "trace", "debug", "warn", "error"], "How much the driver says.", { dialect: "rs", withoutEffect: "`enable_debug` decides how much is logged" }),
  extra_monitor_socket: choice(["", "hmp", "qmp", "qmp-pretty"], "A second control socket, for a person; only with `enable_debug`.", { drivers: "Q" }),
  guest_memory_dump_path: path("", "Directory for the memory of a guest that panicked.", { drivers: "Q" }),
  guest_memory_dump_paging: flag(false, "Dump by the guest's page tables.", { drivers: "Q" }),
  // Peer pods
  remote_hypervisor_socket: path("/run/peerpod/hypervisor.sock", "Socket of the service that makes machines.", { drivers: "R", aliases: ["hypervisor_socket"] }),
  remote_hypervisor_timeout: integer(600, "Seconds that it may take to make one.", { drivers: "R", aliases: ["hypervisor_timeout"] }),
  default_gpus: integer(0, "GPUs of the machine.", { drivers: "R", annotation: true, max: 64 }),
  default_gpu_model: text("", "Model of the GPUs.", { drivers: "R", annotation: true }),
  // Templates
  boot_to_be_template: flag(false, "Boot a machine that is to be a template.", { dialect: "rs", withoutEffect: "`enable_template` of `[factory]` makes templates and clones machines by itself" }),
  boot_from_template: flag(false, "Boot from a template.", { dialect: "rs", withoutEffect: "`enable_template` of `[factory]` makes templates and clones machines by itself" }),
  memory_path: path("", "Memory of the template.", { dialect: "rs", withoutEffect: "`enable_template` of `[factory]` makes templates and clones machines by itself" }),
  device_state_path: path("", "State of the template's devices.", { dialect: "rs", withoutEffect: "`enable_template` of `[factory]` makes templates and clones machines by itself" }),
  // From annotations alone
  asset_hash_type: choice(["sha512"], "Kind of the digests below.", { annotationOnly: true, annotation: true, otherAnnotations: ["io.katacontainers.asset_hash_type"] }),
  kernel_hash: text("", "Digest that the kernel must have.", { annotationOnly: true, annotation: true }),
  image_hash: text("", "Digest that the image must have.", { annotationOnly: true, annotation: true }),
  initrd_hash: text("", "Digest that the initial RAM disk must have.", { annotationOnly: true, annotation: true }),
  path_hash: text("", "Digest that the monitor must have.", { annotationOnly: true, annotation: true, otherAnnotations: ["hypervisor_hash"] }),
  jailer_hash: text("", "Digest that the jailer must have.", { annotationOnly: true, annotation: true }),
  firmware_hash: text("", "Digest that the firmware must have.", { annotationOnly: true, annotation: true }),
  firmware_volume_hash: text("", "Digest that the firmware's variables must have.", { annotationOnly: true, annotation: true }),
};
