/**
 * The machine behind a monitor's stand-in: a QEMU whose root bus takes devices while it runs, as that of the monitors does which are
 * stood in for, and a socket that leads to the agent's port as their vsock does.
 */

import { AGENT_PORT_NAME, VIRTIO_MEMORY } from "../../src/sandbox/hypervisor/qemu/command-line.ts";
import { blockNode, diskNode } from "../../src/sandbox/hypervisor/qemu/disk-options.ts";
import { SLOW_TO_EMULATE } from "../../src/sandbox/hypervisor/qemu/fast-emulation.ts";
import type { GrowingMemory } from "../../src/sandbox/hypervisor/qemu/growing-memory.ts";
import { HotPlugCpus } from "../../src/sandbox/hypervisor/qemu/hot-plug-cpus.ts";
import { MemoryModules } from "../../src/sandbox/hypervisor/qemu/memory-modules.ts";
import { QmpClient } from "../../src/sandbox/hypervisor/qemu/qmp-client.ts";
import type { BlockNode } from "../../src/sandbox/hypervisor/qemu/qmp-messages.ts";
import { restoreState, saveState } from "../../src/sandbox/hypervisor/qemu/saved-state.ts";
import { VirtioMemory } from "../../src/sandbox/hypervisor/qemu/virtio-memory.ts";
import type { FileDescriptor } from "../../src/sys/descriptor.ts";
import { loop } from "../../src/sys/event-loop.ts";
import { FdStream } from "../../src/sys/fd-stream.ts";
import { ftruncate } from "../../src/sys/files.ts";
import { memfdCreate } from "../../src/sys/memory.ts";
import { getpid, SIGKILL } from "../../src/sys/process.ts";
import { sendWithDescriptors, socketPair } from "../../src/sys/socket.ts";
import { type ChildProcess, spawn } from "../../src/sys/spawn.ts";
import { serveVsock } from "./vsock-relay.ts";

const QEMU = "/usr/bin/qemu-system-x86_64";
/** Slots 0 to 3 of the root bus are the board's own. */
const FIRST_SLOT = 4;
const LAST_SLOT = 31;
const FIRST_INHERITED = 3;
const MIB = 1 << 20;
/** For an emulated guest on a busy host, ms. */
const UNPLUG_DEADLINE_MS = 60_000;
const MEMORY_SLOTS = 8;
/** In which Linux on x86 takes memory. */
const MEMORY_BLOCK_MIB = 128;

declare module "../../src/sandbox/hypervisor/qemu/qmp-messages.ts" {
  interface QmpCommands {
    "blockdev-reopen": { readonly options: readonly object[] };
  }
}

export interface BackingSpec {
  readonly memoryBytes: number;
  /** What may come while it runs. */
  readonly hotPlugBytes: number;
  /** Memory comes and goes by virtio-mem, not in modules. */
  readonly growsInPieces?: boolean;
  readonly vcpus: number;
  readonly maxVcpus: number;
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly commandLine: string;
  readonly disks: readonly BackingDisk[];
  readonly cards: readonly BackingCard[];
  /** The hardware address of a card on a network of QEMU's own, whose gateway leads to this host's loopback; absent for none. */
  readonly userNetworkMac?: string;
  readonly shares: readonly { readonly tag: string; readonly socket: string; readonly queueSize: number }[];
  /** Where the stand-in's vsock listens. */
  readonly vsock: string;
  /** Descriptor of the file that its memory is in; one of its own if absent. */
  readonly memory?: number;
  /** Descriptor of a file, where the state of a saved machine with the same parts begins: it goes on from that. */
  readonly state?: number;
  /** Runs in QEMU's process before it is QEMU's: a stand-in may be where QEMU is not. */
  readonly prepare?: () => void;
}

export interface BackingDisk {
  readonly id: string;
  readonly path: string;
  readonly readOnly: boolean;
  /** A device of the host, not a file. */
  readonly isDevice?: boolean;
  /** Its number for the guest; of a disk of the start. */
  readonly serial?: string;
}

export interface BackingCard {
  readonly id: string;
  readonly mac: string;
  readonly tap: FileDescriptor;
}

export interface BackingShare {
  readonly id: string;
  readonly tag: string;
  readonly socket: string;
  readonly queueSize: number;
}

export class BackingMachine {
  readonly #child: ChildProcess;
  readonly #monitor: QmpClient;
  readonly #freeSlots: number[];
  readonly #cpus: HotPlugCpus;
  readonly #memory: GrowingMemory;
  /** The nodes below those of the disks, where they are not the first ones. */
  readonly #backings = new Map<string, string>();
  /** Ids of what has a backend of its own, which goes with it. */
  readonly #cards: Set<string>;
  readonly #disks: Set<string>;
  #exchanges = 0;

  private constructor(spec: BackingSpec, child: ChildProcess, monitor: QmpClient, freeSlots: number[]) {
    this.#child = child;
    this.#monitor = monitor;
    this.#freeSlots = freeSlots;
    this.#cards = new Set(spec.cards.map(({ id }) => id));
    this.#disks = new Set(spec.disks.map(({ id }) => id));
    // QEMU cannot take an emulated processor out.
    this.#cpus = new HotPlugCpus(monitor, spec.vcpus, false);
    const [bootMib, maxMemoryMib] = [spec.memoryBytes / MIB, (spec.memoryBytes + spec.hotPlugBytes) / MIB];
    this.#memory =
      spec.growsInPieces === true
        ? new VirtioMemory(monitor, loop, bootMib, maxMemoryMib)
        : new MemoryModules({
            ...{ monitor, bootMib, maxMemoryMib, slots: MEMORY_SLOTS },
            ...{ hugePages: false, preallocate: false, balloon: false },
          });
  }

  /** Boots it. Its console is this process's stdout. */
  static async start(spec: BackingSpec): Promise<BackingMachine> {
    const monitor = socketPair();
    const agent = socketPair();
    const inherited = [monitor.theirs, agent.theirs, ...spec.cards.map(({ tap }) => tap)];
    const slots = Array.from({ length: LAST_SLOT - FIRST_SLOT + 1 }, (_, index) => FIRST_SLOT + index);
    const child = await spawn({
      path: QEMU,
      args: [QEMU, ...qemuArguments(spec, () => slots.shift() ?? LAST_SLOT)],
      environment: ["LANG=C"],
      descriptors: [
        ...(["null", 1, 2] as const),
        ...inherited.map(({ fd }) => fd),
        ...(spec.state === undefined ? [] : [spec.state]),
      ],
      parentDeathSignal: SIGKILL,
      ...(spec.prepare === undefined ? {} : { prepare: spec.prepare }),
    });
    for (const each of inherited) each.close();
    const stream = new FdStream(monitor.ours);
    const client = await QmpClient.connect(
      {
        read: (into) => stream.read(into),
        write: (bytes) => stream.write(bytes),
        writeWithDescriptors: (bytes, descriptors) => sendWithDescriptors(stream, bytes, descriptors),
        close: () => stream.close(),
      },
      loop,
    );
    if (spec.state !== undefined) {
      await restoreState(client, FIRST_INHERITED + inherited.length, Promise.resolve());
    }
    void serveVsock(spec.vsock, new FdStream(agent.ours));
    return new BackingMachine(spec, child, client, slots);
  }

  /** Settles when the guest has ended. */
  get exited(): Promise<unknown> {
    return this.#child.exited;
  }

  /** @returns its slot on the root bus. */
  async addDisk({ id, path, readOnly }: BackingDisk): Promise<number> {
    await this.#monitor.execute("blockdev-add", blockNode({ kind: "disk", id, path, readOnly }, "threads"));
    this.#disks.add(id);
    return await this.#plug(id, "virtio-blk-pci", { drive: diskNode(id) });
  }

  /** @returns its slot on the root bus. */
  async addCard({ id, mac, tap }: BackingCard): Promise<number> {
    await this.#monitor.execute("getfd", { fdname: `${id}-tap` }, { descriptors: [tap.fd] });
    await this.#monitor.execute("netdev_add", { type: "tap", id: `${id}-netdev`, fd: `${id}-tap` });
    this.#cards.add(id);
    return await this.#plug(id, "virtio-net-pci", { netdev: `${id}-netdev`, mac, romfile: "" });
  }

  /** A card that the guest has no driver for. @returns its slot on the root bus. */
  async addEmulatedCard(id: string): Promise<number> {
    return await this.#plug(id, "pci-testdev", {});
  }

  /** @returns its slot on the root bus. */
  async addShare({ id, tag, socket, queueSize }: BackingShare): Promise<number> {
    const data = { addr: { type: "unix", data: { path: socket } }, server: false } as const;
    await this.#monitor.execute("chardev-add", { id: `${id}-socket`, backend: { type: "socket", data } });
    return await this.#plug(id, "vhost-user-fs-pci", {
      chardev: `${id}-socket`,
      tag,
      "queue-size": `${queueSize}`,
    });
  }

  /**
   * Puts another file or device behind a disk that was there at the boot; the guest's kernel is told of its size.
   *
   * QEMU tells a guest of a new size when it changes one itself, which it does not do to what is read-only: so first there is a file of
   * that size in its memory for a moment.
   *
   * @param bytes its size.
   */
  async exchangeDisk({ id, path, readOnly, isDevice = false }: BackingDisk, bytes: number): Promise<void> {
    const before = this.#backings.get(id) ?? `${id}-file`;
    const number = ++this.#exchanges;
    const [size, after] = [`${id}-size${number}`, `${id}-file${number}`];
    using sized = memfdCreate("size");
    ftruncate(sized.fd, bytes);
    const options = { driver: "raw", "node-name": diskNode(id) };
    const sizedFile = `/proc/${getpid()}/fd/${sized.fd}`;
    await this.#monitor.execute("blockdev-add", backing(size, sizedFile, false, false));
    await this.#monitor.execute("blockdev-add", backing(after, path, readOnly, isDevice));
    await this.#reopen({ ...options, file: size, "read-only": false });
    await this.#monitor.execute("block_resize", { "node-name": diskNode(id), size: bytes });
    await this.#reopen({ ...options, file: after, "read-only": readOnly });
    for (const node of [size, before]) await this.#monitor.execute("blockdev-del", { "node-name": node });
    this.#backings.set(id, after);
  }

  async #reopen(options: object): Promise<void> {
    await this.#monitor.execute("blockdev-reopen", { options: [options] });
  }

  /** @returns settles when the guest has let go of it, and with it all that was behind it. */
  async remove(id: string): Promise<void> {
    const gone = this.#monitor.nextEvent("DEVICE_DELETED", ({ device }) => device === id, UNPLUG_DEADLINE_MS);
    // Nobody waits for it if there is no such device.
    gone.catch(() => undefined);
    await this.#monitor.execute("device_del", { id });
    await gone;
    if (this.#cards.delete(id)) await this.#monitor.execute("netdev_del", { id: `${id}-netdev` });
    else if (this.#disks.delete(id))
      await this.#monitor.execute("blockdev-del", { "node-name": diskNode(id) });
  }

  /** Makes the file behind a disk that was plugged in that large, and tells the guest. */
  async resizeDisk(id: string, bytes: number): Promise<void> {
    await this.#monitor.execute("block_resize", { "node-name": diskNode(id), size: bytes });
  }

  /** Makes it as large as that, as far as it grows. */
  async grow(vcpus: number, memoryBytes: number | undefined): Promise<void> {
    await this.#cpus.growTo(vcpus);
    if (memoryBytes === undefined) return;
    const memoryMib = memoryBytes / MIB;
    if (memoryMib < this.#memory.sizeMib) await this.#memory.shrinkTo(memoryMib);
    else await this.#memory.growTo(memoryMib, MEMORY_BLOCK_MIB);
  }

  /** Writes everything but the memory, which is in the file of the specification, to where `state` is. It is stopped then. */
  async save(state: number): Promise<void> {
    await saveState(this.#monitor, state);
  }

  async pause(): Promise<void> {
    await this.#monitor.execute("stop", {});
  }

  async resume(): Promise<void> {
    await this.#monitor.execute("cont", {});
  }

  async stop(): Promise<void> {
    this.#child.kill(SIGKILL);
    await this.#child.exited;
  }

  async #plug(id: string, driver: string, properties: Readonly<Record<string, string>>): Promise<number> {
    const slot = this.#freeSlots.shift();
    if (slot === undefined) throw new Error("no slot is free");
    await this.#monitor.execute("device_add", {
      driver,
      id,
      bus: "pci.0",
      addr: slot.toString(16),
      ...properties,
    });
    return slot;
  }
}

function memoryBackend(mib: number, file: number | undefined): string {
  const kind = file === undefined ? "memfd" : "file";
  const path = file === undefined ? "" : `,mem-path=/proc/${getpid()}/fd/${file}`;
  return `memory-backend-${kind},id=memory0,size=${mib}M,share=on${path}`;
}

function virtioMemory(mib: number, at: string): string[] {
  return [
    ...["-object", `memory-backend-memfd,id=memory1,size=${mib}M,share=on,reserve=off`],
    ...["-device", `virtio-mem-pci,id=${VIRTIO_MEMORY},memdev=memory1,requested-size=0,${at}`],
  ];
}

/** A block node to be put below a disk's. */
function backing(name: string, filename: string, readOnly: boolean, isDevice: boolean): BlockNode {
  const cache = { direct: false, "no-flush": false };
  const file = {
    driver: isDevice ? "host_device" : "file",
    filename,
    aio: "threads",
    cache,
    discard: "unmap",
  } as const;
  return { driver: "raw", "node-name": name, "read-only": readOnly, cache, discard: "unmap", file };
}

function qemuArguments(spec: BackingSpec, nextSlot: () => number): string[] {
  const at = () => `bus=pci.0,addr=0x${nextSlot().toString(16)}`;
  const memory = spec.memoryBytes / MIB;
  const growth =
    spec.hotPlugBytes === 0 ? "" : `,slots=${MEMORY_SLOTS},maxmem=${memory + spec.hotPlugBytes / MIB}M`;
  return [
    ...["-machine", "pc,accel=tcg,memory-backend=memory0"],
    ...["-cpu", ["max", ...SLOW_TO_EMULATE.x86_64.map((name) => `${name}=off`)].join(",")],
    ...["-smp", `${spec.vcpus},maxcpus=${spec.maxVcpus}`, "-m", `${memory}M${growth}`],
    ...["-object", memoryBackend(memory, spec.memory)],
    ...(spec.growsInPieces === true ? virtioMemory(spec.hotPlugBytes / MIB, at()) : []),
    ...(spec.state === undefined ? [] : ["-incoming", "defer"]),
    ...["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"],
    ...["-chardev", `socket,id=monitor,fd=${FIRST_INHERITED}`, "-mon", "chardev=monitor,mode=control"],
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ...[
      "-chardev",
      `socket,id=agent,fd=${FIRST_INHERITED + 1}`,
      "-device",
      `virtio-serial-pci,id=serial0,${at()}`,
    ],
    ...["-device", `virtserialport,bus=serial0.0,chardev=agent,name=${AGENT_PORT_NAME}`],
    ...spec.disks.flatMap(({ id, path, readOnly, isDevice = false, serial = "" }) => [
      "-blockdev",
      `driver=${isDevice ? "host_device" : "file"},node-name=${id}-file,filename=${path},read-only=${readOnly ? "on" : "off"}`,
      "-blockdev",
      `driver=raw,node-name=${id}-node,file=${id}-file,read-only=${readOnly ? "on" : "off"}`,
      "-device",
      `virtio-blk-pci,id=${id},drive=${id}-node,serial=${serial},${at()}`,
    ]),
    ...spec.shares.flatMap(({ tag, socket, queueSize }, index) => [
      "-chardev",
      `socket,id=share${index}-socket,path=${socket}`,
      "-device",
      `vhost-user-fs-pci,chardev=share${index}-socket,tag=${tag},queue-size=${queueSize},${at()}`,
    ]),
    ...spec.cards.flatMap(({ id, mac }, index) => [
      "-netdev",
      `tap,id=${id}-netdev,fd=${FIRST_INHERITED + 2 + index}`,
      "-device",
      `virtio-net-pci,id=${id},netdev=${id}-netdev,mac=${mac},romfile=,${at()}`,
    ]),
    ...(spec.userNetworkMac === undefined
      ? []
      : [
          ...["-netdev", "user,id=user-netdev"],
          "-device",
          `virtio-net-pci,id=user,netdev=user-netdev,mac=${spec.userNetworkMac},romfile=,${at()}`,
        ]),
    ...["-kernel", spec.kernel, "-append", emulated(spec.commandLine)],
    ...(spec.initrd === undefined ? [] : ["-initrd", spec.initrd]),
  ];
}

/** An emulated time stamp counter is not reliable, whatever the monitor's is. */
function emulated(commandLine: string): string {
  return commandLine
    .split(" ")
    .filter((word) => word !== "tsc=reliable")
    .join(" ");
}
