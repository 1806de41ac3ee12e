/** A card of the host in the guest. */

/** What a card of the host is plugged into. */
export type CardPort = "root-port" | "switch-port" | "bridge-port";

/** A PCI card of the host that the guest has for itself. It is bound to vfio-pci, with all others of its IOMMU group. */
export interface HostCardDevice {
  readonly kind: "host-card";
  readonly id: string;
  /** `0000:01:00.0` */
  readonly pciAddress: string;
  /** Of monitors that have several kinds. */
  readonly port: CardPort;
}
