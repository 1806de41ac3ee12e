/**
 * The kernel modules of the guest, and when they are loaded.
 *
 * A guest pays for each at its start (some 10 ms where the processor is emulated) and for its file in memory.
 */
import type { ModuleWish } from "./kernel-modules.ts";

/** When the agent loads a module. */
export type LoadMoment =
  /** Before it answers: without them the host cannot reach it. */
  | "early"
  /** Once it listens, before containers come: a template is made after that. */
  | "late"
  /** When something asks for it by name. */
  | "on-demand";

export interface GuestModule extends ModuleWish {
  readonly load: LoadMoment;
  readonly why: string;
}

export const GUEST_MODULES: readonly GuestModule[] = [
  { name: "virtio_pci", load: "early", why: "finds all virtio devices of QEMU and Cloud Hypervisor" },
  { name: "virtio_console", load: "early", why: "carries the agent's protocol over virtio-serial" },

  { name: "virtio_blk", load: "late", why: "disks: images, volumes" },
  { name: "virtio_net", load: "late", why: "the pod's network interface" },
  { name: "overlay", load: "late", why: "puts a container's changes over its image" },
  {
    name: "erofs",
    load: "late",
    // libcrc32c takes the fastest implementation that is there when it is loaded.
    after: ["crc32c_intel"],
    why: "image layers as disks",
  },
  { name: "virtiofs", load: "late", why: "directories shared by the host" },

  { name: "virtio_mmio", load: "on-demand", why: "virtio devices of Firecracker and microvm" },
  { name: "vmw_vsock_virtio_transport", load: "on-demand", why: "carries the agent's protocol over vsock" },
  {
    name: "virtio_scsi",
    load: "on-demand",
    why: "disks by SCSI address (block_device_driver = virtio-scsi)",
  },
  { name: "sd_mod", load: "on-demand", why: "makes them block devices" },
  { name: "virtio_balloon", load: "on-demand", why: "gives memory back to the host" },
  { name: "virtio_mem", load: "on-demand", optional: true, why: "memory added while the guest runs" },
  { name: "virtio_rng", load: "on-demand", why: "the host's randomness" },
  {
    name: "pvpanic_pci",
    load: "on-demand",
    optional: true,
    why: "tells the host of a panic, to keep the memory",
  },
  { name: "9p", load: "on-demand", optional: true, why: "directories shared by the host, without a daemon" },
  { name: "9pnet_virtio", load: "on-demand", optional: true, why: "9p over virtio" },
  { name: "dm_verity", load: "on-demand", why: "image layers checked against a hash (policy)" },
  { name: "loop", load: "on-demand", why: "disk images in files" },
  {
    name: "vfio_pci",
    load: "on-demand",
    optional: true,
    why: "cards that containers drive themselves (vfio_mode = vfio)",
  },
  { name: "vfio_iommu_type1", load: "on-demand", optional: true, why: "their access to memory" },
  { name: "tun", load: "on-demand", why: "/dev/net/tun for VPNs in containers" },
  { name: "veth", load: "on-demand", why: "containers that run containers" },
  { name: "bridge", load: "on-demand", why: "containers that run containers" },

  // What service meshes and container managers inside of a pod program with iptables, either flavour.
  { name: "iptable_filter", load: "on-demand", why: "iptables -t filter" },
  { name: "iptable_nat", load: "on-demand", why: "iptables -t nat" },
  { name: "iptable_mangle", load: "on-demand", why: "iptables -t mangle" },
  { name: "iptable_raw", load: "on-demand", why: "iptables -t raw" },
  { name: "ip6table_filter", load: "on-demand", why: "ip6tables -t filter" },
  { name: "ip6table_nat", load: "on-demand", why: "ip6tables -t nat" },
  { name: "ip6table_mangle", load: "on-demand", why: "ip6tables -t mangle" },
  { name: "ip6table_raw", load: "on-demand", why: "ip6tables -t raw" },
  { name: "nf_tables", load: "on-demand", why: "nft, and iptables that speaks its protocol" },
  { name: "nft_compat", load: "on-demand", why: "iptables' matches and targets in nf_tables" },
  { name: "nft_chain_nat", load: "on-demand", why: "nat chains of nf_tables" },
  { name: "xt_addrtype", load: "on-demand", why: "match by kind of address" },
  { name: "xt_comment", load: "on-demand", why: "comments of rules" },
  { name: "xt_conntrack", load: "on-demand", why: "match by state of the connection" },
  { name: "xt_mark", load: "on-demand", why: "match and set marks" },
  { name: "xt_multiport", load: "on-demand", why: "match several ports" },
  { name: "xt_nat", load: "on-demand", why: "targets DNAT and SNAT" },
  { name: "xt_owner", load: "on-demand", why: "match by user: how a mesh spares its own proxy" },
  { name: "xt_tcpudp", load: "on-demand", why: "match ports" },
  { name: "xt_MASQUERADE", load: "on-demand", why: "target MASQUERADE" },
  { name: "xt_REDIRECT", load: "on-demand", why: "target REDIRECT" },
  { name: "xt_TPROXY", load: "on-demand", why: "target TPROXY" },
  { name: "ipt_REJECT", load: "on-demand", why: "target REJECT" },
  { name: "ip6t_REJECT", load: "on-demand", why: "target REJECT of ip6tables" },
];

/** Those that open a root disk which the kernel checks. */
export const FOR_ROOT_DISK: ReadonlySet<string> = new Set(["virtio_pci", "virtio_blk", "dm_verity", "erofs"]);
