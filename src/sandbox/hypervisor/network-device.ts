/** A network card in the guest, and what is behind it on the host. */

export interface NetworkDevice {
  readonly kind: "network";
  readonly id: string;
  /** `02:00:00:00:00:01`. */
  readonly macAddress: string;
  readonly backend: NetworkBackend;
}

export type NetworkBackend =
  /** The kernel's tap or macvtap. */
  | {
      readonly kind: "tap";
      readonly queues: readonly TapQueue[];
      /** For monitors that open it themselves: its name in the namespace that they run in. It has no queues here then. */
      readonly name?: string;
    }
  /** Another program that carries the packets through the guest's memory. */
  | {
      readonly kind: "vhost-user";
      /** Descriptor of a socket that is connected to the program; the machine takes a copy. */
      readonly socket: number;
      /** Queue pairs. */
      readonly queues: number;
      /** Packets on their way in a queue at most; a power of two. */
      readonly queueSize: number;
    }
  /** A card of the host itself, which is bound to vfio-pci. Its address stays its own. */
  | { readonly kind: "vfio" /** `0000:01:00.0` */; readonly pciAddress: string };

/** One queue pair; with more than one, each processor of the guest has its own. */
export interface TapQueue {
  /** Descriptor of the tap; the machine takes a copy. */
  readonly tap: number;
  /** Descriptor of /dev/vhost-net, where the host has it: the kernel carries the packets then. */
  readonly vhost?: number;
}
