/** What an operator may ask of a machine beside its size and devices. Not every monitor has all of it. */
import type { CardWindows } from "../vfio/card-windows.ts";
import type { CardPort } from "./host-card.ts";
import type { DiskRates } from "./types.ts";

export interface MachineOptions {
  /** QEMU's filter of system calls, as its option `-sandbox` has it; empty for the strictest. */
  readonly systemCallFilter: string;
  /** Variables of the firmware, which then is two flash chips; empty for none. Each machine gets a copy. */
  readonly firmwareVolume: string;
  /** Contents of flash chips, in their order; of all but the first each machine gets a copy. */
  readonly flashes: readonly string[];
  /** Whether the guest's devices go through an IOMMU that its kernel programs. */
  readonly iommu: boolean;
  /** Whether virtio devices reach only memory that the guest lets them, by its IOMMU or by sharing what is encrypted. */
  readonly iommuPlatform: boolean;
  /** What disks that are plugged in later are behind. */
  readonly diskBus: "virtio-blk" | "virtio-scsi";
  /** Whether the SCSI controller's requests are handled in a thread of their own. */
  readonly scsiThread: boolean;
  /** Downstream ports of a PCI Express switch. */
  readonly switchPorts: number;
  /** What cards of the host are plugged into while the machine runs; undefined: none is. */
  readonly cardPort: CardPort | undefined;
  /** Address space of each port for the memory of such cards, where that is more than ports have; for monitors with ports. */
  readonly cardWindows: CardWindows | undefined;
  /** A second control socket, in the sandbox's directory; undefined for none. */
  readonly extraMonitor: ExtraMonitor | undefined;
  /** What becomes of the memory of a guest whose kernel has panicked; undefined: it goes with the machine. */
  readonly memoryDump: MemoryDump | undefined;
  /** Whether the guest may run machines of its own, where the monitor can deny it. */
  readonly nested: boolean;
  /** How much the monitor says, from 0; where it is asked by a number. */
  readonly verbosity: number;
  /** Files and directories of the host that a monitor which confines itself by Landlock may use besides the machine's; undefined: it does not. */
  readonly landlock: readonly string[] | undefined;
  /** What each network card may do, both ways together. */
  readonly cardRates: DiskRates | undefined;
}

/** How a person or a program speaks over it. */
export type ExtraMonitor = "hmp" | "qmp" | "qmp-pretty";

export interface MemoryDump {
  /** Directory on the host; the dump is in one of its own below it. */
  readonly directory: string;
  /** By the addresses of the guest's page tables, not of its memory. */
  readonly paging: boolean;
}

export const NO_OPTIONS: MachineOptions = {
  systemCallFilter: "",
  firmwareVolume: "",
  flashes: [],
  iommu: false,
  iommuPlatform: false,
  diskBus: "virtio-blk",
  scsiThread: false,
  switchPorts: 0,
  cardPort: undefined,
  cardWindows: undefined,
  extraMonitor: undefined,
  memoryDump: undefined,
  nested: true,
  verbosity: 0,
  landlock: undefined,
  cardRates: undefined,
};
