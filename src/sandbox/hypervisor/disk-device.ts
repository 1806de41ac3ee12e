/** Disks of a machine, and how they are read and written. */

/** A block device in the guest, over a file or block device of the host. */
export interface DiskDevice {
  readonly kind: "disk";
  readonly id: string;
  readonly path: string;
  readonly readOnly: boolean;
  /** A file that was made for this machine: it may become its monitor's user's. */
  readonly isMade?: boolean;
  /** How it is read and written; the monitor's usual way if absent. */
  readonly tuning?: DiskTuning;
}

/** How a monitor reads and writes a disk, and what the guest sees of it. */
export interface DiskTuning {
  /** How requests reach the host's kernel. */
  readonly io: "io_uring" | "threads" | "native";
  /** Past the host's page cache. */
  readonly direct: boolean;
  /** Passes over the guest's wish to have data on the disk: fast, and lost with the host's power. */
  readonly noFlush: boolean;
  /** Bytes; 0 for the disk's own. */
  readonly logicalSectorBytes: number;
  readonly physicalSectorBytes: number;
  readonly queues: number;
  /** Requests in a queue; a power of two. */
  readonly queueSize: number;
  /** Threads of the monitor for the machine's disks; 0 is one. */
  readonly threads: number;
}

/** A block device in the guest that another program serves (vhost-user). That one knows its size, and whether it can be written to. */
export interface ServedDiskDevice {
  readonly kind: "served-disk";
  readonly id: string;
  /** Where the program listens. */
  readonly socket: string;
  /** Seconds between tries to reach it again after it went away; 0 for never. */
  readonly reconnectSeconds: number;
  readonly tuning?: DiskTuning;
}
