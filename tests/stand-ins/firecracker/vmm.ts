/** The machine that requests make: its parts, what they may be, and the real machine that boots behind it. */
import { describeError } from "../../../src/kata-error.ts";
import type { FileDescriptor } from "../../../src/sys/descriptor.ts";
import {
  exists,
  ftruncate,
  O_CREAT,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  open,
  S_IFBLK,
  S_IFMT,
  stat,
  writeAll,
} from "../../../src/sys/files.ts";
import { check, kernel } from "../../../src/sys/kernel.ts";
import { memfdCreate } from "../../../src/sys/memory.ts";
import { getpid } from "../../../src/sys/process.ts";
import { copySparse } from "../../../src/sys/sparse-copy.ts";
import { utf8Encode } from "../../../src/sys/utf8.ts";
import { type BackingDisk, BackingMachine } from "../backing-machine.ts";
import { openTap } from "./open-tap.ts";
import { Refused } from "./refused.ts";
import { beginSnapshot, openSnapshot, type SnapshotFiles } from "./snapshot-file.ts";

const MAX_VCPUS = 32;
/** Interrupts 5 to 23, less one that tells a clone that it is one. */
const MAX_DEVICES = 18;
const MIB = 1 << 20;
const SECTOR_BYTES = 512;
const HUGE_PAGE_MIB = 2;
const FIRST_GUEST_CID = 3;
const MAX_TAP_NAME = 15;
const SEEK_END = 2;

export interface MachineConfiguration {
  readonly vcpu_count: number;
  readonly mem_size_mib: number;
  readonly smt?: boolean;
  readonly huge_pages?: string;
}

export interface BootSource {
  readonly kernel_image_path: string;
  readonly initrd_path?: string;
  readonly boot_args?: string;
}

export interface Drive {
  readonly drive_id: string;
  readonly path_on_host?: string;
  readonly is_root_device: boolean;
  readonly is_read_only?: boolean;
}

export interface Card {
  readonly iface_id: string;
  readonly guest_mac?: string;
  readonly host_dev_name: string;
}

export interface Vsock {
  readonly guest_cid: number;
  readonly uds_path: string;
}

export interface SnapshotLoad {
  readonly snapshot_path: string;
  readonly mem_file_path?: string;
  readonly mem_backend?: { readonly backend_path: string };
  readonly resume_vm?: boolean;
  readonly network_overrides?: readonly { readonly iface_id: string; readonly host_dev_name: string }[];
}

interface SavedParts {
  readonly machine: MachineConfiguration;
  readonly boot: BootSource | undefined;
  readonly drives: readonly Drive[];
  readonly cards: readonly Card[];
  readonly vsock: Vsock | undefined;
}

type State =
  | { readonly is: "Not started" }
  | { readonly is: "Running" | "Paused"; readonly machine: BackingMachine };

export interface Surroundings {
  /** Ends the process. */
  quit(): void;
  /** For QEMU's process: back to where its program is. */
  readonly leave?: () => void;
}

export class Vmm {
  readonly #surroundings: Surroundings;
  #machine: MachineConfiguration = { vcpu_count: 1, mem_size_mib: 128 };
  #boot: BootSource | undefined;
  #vsock: Vsock | undefined;
  #entropy = false;
  /** The guest's. */
  #memory: FileDescriptor | undefined;
  #metrics: FileDescriptor | undefined;
  #log: FileDescriptor | undefined;
  readonly #drives = new Map<string, Drive>();
  readonly #cards = new Map<string, { readonly card: Card; readonly tap: FileDescriptor }>();
  #state: State = { is: "Not started" };

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  get state(): State["is"] {
    return this.#state.is;
  }

  get machine(): MachineConfiguration {
    return this.#machine;
  }

  setLogger(path: string | undefined): void {
    if (path !== undefined) this.#log = openReport(path);
  }

  setMetrics(path: string): void {
    if (this.#metrics !== undefined) throw new Refused("Metrics system already initialized.");
    this.#metrics = openReport(path);
  }

  setMachine(machine: MachineConfiguration): void {
    const { vcpu_count: vcpus, mem_size_mib: memory, smt = false, huge_pages: pages = "None" } = machine;
    if (vcpus < 1 || vcpus > MAX_VCPUS || (smt && vcpus > 1 && vcpus % 2 === 1)) {
      throw new Refused(
        "The vCPU number is invalid! The vCPU number can only be 1 or an even number when SMT is enabled.",
      );
    }
    if (memory < 1 || (pages === "2M" && memory % HUGE_PAGE_MIB !== 0)) {
      throw new Refused("The memory size (MiB) is invalid.");
    }
    this.#machine = machine;
  }

  setBoot(source: BootSource): void {
    mustOpen(source.kernel_image_path, O_RDONLY, "The kernel file cannot be opened");
    if (source.initrd_path !== undefined) {
      mustOpen(
        source.initrd_path,
        O_RDONLY,
        "The initrd file cannot be opened due to invalid path or invalid permissions",
      );
    }
    this.#boot = source;
  }

  addDrive(drive: Drive): void {
    this.#checkBacking(drive, drive.path_on_host);
    const roots = [...this.#drives.values()].filter(
      (each) => each.is_root_device && each.drive_id !== drive.drive_id,
    );
    if (drive.is_root_device && roots.length > 0) throw new Refused("A root block device already exists!");
    this.#drives.set(drive.drive_id, drive);
  }

  async changeDrive(id: string, path: string | undefined): Promise<void> {
    const drive = this.#drives.get(id);
    if (drive === undefined) throw new Refused(`Unable to patch the block device: Device not found: ${id}`);
    if (path === undefined) return;
    this.#checkBacking(drive, path);
    this.#drives.set(id, { ...drive, path_on_host: path });
    await this.#running().exchangeDisk(backingDisk({ ...drive, path_on_host: path }), wholeSectors(path));
  }

  #checkBacking(drive: Drive, path: string | undefined): void {
    if (path === undefined)
      throw new Refused("Unable to create the block device: it has neither a path nor a socket");
    mustOpen(
      path,
      drive.is_read_only === true ? O_RDONLY : O_RDWR,
      "Unable to create the block device: BackingFile",
    );
  }

  addCard(card: Card): void {
    const { iface_id: id, host_dev_name: name, guest_mac: mac } = card;
    const others = [...this.#cards.values()].filter((each) => each.card.iface_id !== id);
    if (mac !== undefined && others.some((each) => each.card.guest_mac === mac)) {
      throw new Refused(`The MAC address is already in use: ${mac}`);
    }
    if (name.length > MAX_TAP_NAME)
      throw new Refused(`Open tap device failed: Invalid interface name: ${name}`);
    this.#cards.get(id)?.tap.close();
    try {
      this.#cards.set(id, { card, tap: openTap(name) });
    } catch (error) {
      throw new Refused(
        `Cannot create network device: Open tap device failed: ${describeError(error)}. Invalid TUN/TAP Backend provided by ${name}.`,
      );
    }
  }

  requireCard(id: string): void {
    if (!this.#cards.has(id)) throw new Refused(`Device not found: ${id}`);
  }

  setVsock(vsock: Vsock): void {
    if (vsock.guest_cid < FIRST_GUEST_CID)
      throw new Refused("Cannot create vsock device: guest CIDs begin with 3");
    if (exists(vsock.uds_path)) {
      throw new Refused(
        "Cannot create vsock device: Error binding to the host-side Unix socket: Address in use (os error 98)",
      );
    }
    this.#vsock = vsock;
  }

  addEntropy(): void {
    this.#entropy = true;
  }

  async act(action: string): Promise<void> {
    switch (action) {
      case "InstanceStart":
        if (this.#state.is !== "Not started") {
          throw new Refused("The requested operation is not supported after starting the microVM.");
        }
        return await this.#start();
      case "FlushMetrics":
        this.#running();
        if (this.#metrics === undefined) throw new Refused("Metrics system is not initialized.");
        writeAll(
          this.#metrics.fd,
          utf8Encode(`${JSON.stringify({ utc_timestamp_ms: Date.now(), vmm: { panic_count: 0 } })}\n`),
        );
        return;
      case "SendCtrlAltDel":
        await this.#running().stop();
        return;
    }
  }

  async setState(wanted: string): Promise<void> {
    if (this.#state.is === "Not started") return;
    const { machine } = this.#state;
    if (wanted === "Paused") await machine.pause();
    else await machine.resume();
    this.#state = { is: wanted === "Paused" ? "Paused" : "Running", machine };
  }

  async createSnapshot({ snapshot_path: path, mem_file_path: memoryPath }: SnapshotFiles): Promise<void> {
    const state = this.#state;
    if (state.is !== "Paused" || this.#memory === undefined) {
      throw new Refused("Cannot save the microVM state: it is not paused.");
    }
    using file = beginSnapshot(path, this.#parts());
    // QEMU stops it by itself, and remembers that it ran.
    await state.machine.resume();
    await state.machine.save(file.fd);
    using memory = open(memoryPath, O_RDWR | O_CREAT | O_TRUNC, 0o600);
    ftruncate(memory.fd, this.#machine.mem_size_mib * MIB);
    await copySparse(this.#memory.fd, memory.fd);
  }

  async loadSnapshot(request: SnapshotLoad): Promise<void> {
    if (
      this.#boot !== undefined ||
      this.#drives.size > 0 ||
      this.#cards.size > 0 ||
      this.#vsock !== undefined
    ) {
      throw new Refused("Loading a microVM snapshot not allowed after configuring boot-specific resources.");
    }
    const memoryPath = request.mem_backend?.backend_path ?? request.mem_file_path;
    if (memoryPath === undefined)
      throw new Refused("Missing field: either `mem_backend` or `mem_file_path` is required");
    mustOpen(request.snapshot_path, O_RDONLY, "Failed to open the snapshot file");
    mustOpen(memoryPath, O_RDONLY, "Failed to open the memory file");
    const { parts, file } = openSnapshot(request.snapshot_path);
    using state = file;
    const saved = parts as SavedParts;
    this.#machine = saved.machine;
    this.#boot = saved.boot;
    for (const drive of saved.drives) this.addDrive(drive);
    const names = new Map(
      (request.network_overrides ?? []).map((each) => [each.iface_id, each.host_dev_name]),
    );
    for (const card of saved.cards) {
      this.addCard({ ...card, host_dev_name: names.get(card.iface_id) ?? card.host_dev_name });
    }
    if (saved.vsock !== undefined) this.setVsock(saved.vsock);
    await this.#start({ memoryPath, state: state.fd });
    if (request.resume_vm !== true) await this.setState("Paused");
  }

  #parts(): SavedParts {
    return {
      machine: this.#machine,
      boot: this.#boot,
      drives: [...this.#drives.values()],
      cards: [...this.#cards.values()].map(({ card }) => card),
      vsock: this.#vsock,
    };
  }

  #running(): BackingMachine {
    if (this.#state.is !== "Not started") return this.#state.machine;
    throw new Refused("The requested operation is not supported before starting the microVM.");
  }

  /** @param saved files of a machine that goes on. */
  async #start(saved?: { readonly memoryPath: string; readonly state: number }): Promise<void> {
    const { vcpu_count: vcpus, mem_size_mib: memory } = this.#machine;
    if (this.#boot === undefined) throw new Refused("Cannot start microvm without kernel configuration.");
    const devices =
      this.#drives.size + this.#cards.size + (this.#vsock === undefined ? 0 : 1) + (this.#entropy ? 1 : 0);
    if (devices > MAX_DEVICES) {
      throw new Refused("Failed to allocate requested resource: The requested resource is not available.");
    }
    const { leave } = this.#surroundings;
    const ram = memfdCreate("guest");
    ftruncate(ram.fd, memory * MIB);
    this.#memory = ram;
    if (saved !== undefined) {
      using source = open(saved.memoryPath, O_RDONLY);
      await copySparse(source.fd, ram.fd);
    }
    const machine = await BackingMachine.start({
      memoryBytes: memory * MIB,
      hotPlugBytes: 0,
      vcpus,
      maxVcpus: vcpus,
      kernel: fromOutside(this.#boot.kernel_image_path),
      initrd: this.#boot.initrd_path === undefined ? undefined : fromOutside(this.#boot.initrd_path),
      commandLine: withoutBoard(this.#boot.boot_args ?? ""),
      disks: [...this.#drives.values()].map(backingDisk),
      cards: [...this.#cards.values()].map(({ card, tap }) => ({
        id: card.iface_id,
        mac: card.guest_mac ?? "02:00:00:00:00:99",
        tap,
      })),
      shares: [],
      vsock: this.#vsock?.uds_path ?? "/vsock",
      memory: ram.fd,
      ...(saved === undefined ? {} : { state: saved.state }),
      ...(leave === undefined ? {} : { prepare: leave }),
    });
    // The guest that ends takes its monitor along.
    void machine.exited.then(() => this.#surroundings.quit());
    this.#state = { is: "Running", machine };
    if (this.#log !== undefined)
      writeAll(this.#log.fd, utf8Encode("[stand-in:WARN] the microVM has started\n"));
  }
}

/** The machine behind has its devices on PCI, and tells of them by ACPI. */
function withoutBoard(commandLine: string): string {
  const board = ["pci=off", "acpi=off"];
  return commandLine
    .split(" ")
    .filter((word) => !board.includes(word))
    .join(" ");
}

function backingDisk({
  drive_id: id,
  path_on_host: path = "",
  is_read_only: readOnly = false,
}: Drive): BackingDisk {
  return { id, path: fromOutside(path), readOnly, isDevice: (stat(path).mode & S_IFMT) === S_IFBLK };
}

function wholeSectors(path: string): number {
  using file = open(path, O_RDONLY);
  const bytes = check(kernel().syscall("lseek", file.fd, 0, SEEK_END), "find size of", path);
  return Math.floor(bytes / SECTOR_BYTES) * SECTOR_BYTES;
}

/** A file as this process sees it, for one that sees other mounts. */
function fromOutside(path: string): string {
  return `/proc/${getpid()}/root${path}`;
}

function openReport(path: string): FileDescriptor {
  try {
    return open(path, O_RDWR | O_NONBLOCK);
  } catch (error) {
    throw new Refused(`Failed to open target file: ${describeError(error)}`);
  }
}

function mustOpen(path: string, flags: number, what: string): void {
  try {
    open(path, flags).close();
  } catch (error) {
    throw new Refused(`${what}: ${describeError(error)}`);
  }
}
