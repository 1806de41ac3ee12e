/**
 * QEMU's side of a network card: options for the start, commands for plugging it in.
 * Sources: qemu(1), "Network options"; QMP reference, netdev_add; QEMU 7.2 and later.
 */
import { KataError } from "../../../kata-error.ts";
import type { NetworkDevice, TapQueue } from "../network-device.ts";
import type { DeviceDescriptors } from "./command-line.ts";

/** Interrupt vectors: one for each direction of a queue pair, one for the configuration, one for control. */
function vectors(queues: number): number {
  return 2 * queues + 2;
}

/** Properties of the card that several queues need. */
function queueProperties(queues: number): Readonly<Record<string, number | boolean>> {
  return queues > 1 ? { mq: true, vectors: vectors(queues) } : {};
}

/** Hands the descriptors of `device` on to QEMU. @param inherit answers with a descriptor's number in QEMU. */
export function inheritNetworkCard(
  { backend }: NetworkDevice,
  inherit: (fd: number) => number,
): DeviceDescriptors {
  switch (backend.kind) {
    case "tap":
      return {
        primary: -1,
        queues: backend.queues.map(({ tap, vhost }) => ({
          tap: inherit(tap),
          ...(vhost === undefined ? {} : { vhost: inherit(vhost) }),
        })),
      };
    case "vhost-user":
      return { primary: inherit(backend.socket) };
    case "vfio":
      return { primary: -1 };
  }
}

/** One option of the command line: its name and its sub-options. */
export type QemuOption = readonly [name: string, subOptions: readonly string[]];

/**
 * The options that make the card.
 *
 * @param model QEMU's name of a virtio card, which depends on the board.
 * @param place options of a card on PCI.
 */
export function networkCardOptions(
  device: NetworkDevice,
  descriptors: DeviceDescriptors,
  model: string,
  place: readonly string[],
): QemuOption[] {
  const { id, macAddress, backend } = device;
  const card = (netdev: string, properties: Readonly<Record<string, number | boolean>>): QemuOption => [
    "-device",
    [
      model,
      `id=${id}`,
      `netdev=${netdev}`,
      `mac=${macAddress}`,
      ...Object.entries(properties)
        // Interrupts are numbered on PCI alone.
        .filter(([name]) => name !== "vectors" || model.endsWith("-pci"))
        .map(([name, value]) => `${name}=${value === true ? "on" : value}`),
      ...place,
    ],
  ];
  switch (backend.kind) {
    case "tap": {
      const queues = descriptors.queues ?? [];
      return [
        ["-netdev", ["tap", `id=${id}-tap`, ...tapOptions(queues)]],
        card(`${id}-tap`, queueProperties(queues.length)),
      ];
    }
    case "vhost-user":
      return [
        ["-chardev", ["socket", `id=${id}-socket`, `fd=${descriptors.primary}`]],
        ["-netdev", ["vhost-user", `id=${id}-user`, `chardev=${id}-socket`, `queues=${backend.queues}`]],
        card(`${id}-user`, { ...queueProperties(backend.queues), ...queueSizes(backend.queueSize) }),
      ];
    case "vfio":
      return [["-device", ["vfio-pci", `id=${id}`, `host=${backend.pciAddress}`, ...place]]];
  }
}

function queueSizes(size: number): Readonly<Record<string, number>> {
  return { rx_queue_size: size, tx_queue_size: size };
}

function tapOptions(queues: readonly TapQueue[]): string[] {
  const [first] = queues;
  if (first === undefined) return [];
  const vhosts = queues.flatMap(({ vhost }) => (vhost === undefined ? [] : [vhost]));
  const kernel = vhosts.length === queues.length;
  if (queues.length === 1) {
    return [`fd=${first.tap}`, ...(kernel ? ["vhost=on", `vhostfd=${vhosts[0]}`] : [])];
  }
  const taps = queues.map(({ tap }) => tap).join(":");
  return [`fds=${taps}`, ...(kernel ? ["vhost=on", `vhostfds=${vhosts.join(":")}`] : [])];
}

/** What plugging a card in needs of QEMU's monitor. */
export interface NetworkMonitor {
  /** Gives QEMU a copy of a descriptor under a name. @returns the name. */
  sendDescriptor(name: string, descriptor: number): Promise<string>;
  /** Runs `use`, which consumes the named descriptors; if it fails they are taken back. */
  orTakeBack(names: readonly string[], use: () => Promise<unknown>): Promise<void>;
  addNetdev(netdev: Netdev): Promise<unknown>;
  removeNetdev(id: string): Promise<unknown>;
  addSocket(id: string, descriptorName: string): Promise<unknown>;
  removeSocket(id: string): Promise<unknown>;
}

/** Arguments of `netdev_add`. Names of descriptors are those given to `getfd`. */
export type Netdev = TapNetdev | VhostUserNetdev;

export interface TapNetdev {
  readonly type: "tap";
  readonly id: string;
  readonly fd?: string;
  readonly fds?: string;
  readonly vhost?: boolean;
  readonly vhostfd?: string;
  readonly vhostfds?: string;
}

export interface VhostUserNetdev {
  readonly type: "vhost-user";
  readonly id: string;
  readonly chardev: string;
  readonly queues: number;
}

/** The device that is plugged in, and how what is behind it goes. */
export interface PluggedCard {
  readonly driver: string;
  readonly properties: Readonly<Record<string, string | number | boolean>>;
  remove(): Promise<void>;
}

/** A card that the machine was started with, for its removal. */
export function startedNetworkCard({ id, backend }: NetworkDevice, monitor: NetworkMonitor): PluggedCard {
  const remove = async (): Promise<void> => {
    if (backend.kind === "tap") await monitor.removeNetdev(`${id}-tap`);
    if (backend.kind === "vhost-user") {
      await monitor.removeNetdev(`${id}-user`);
      await monitor.removeSocket(`${id}-socket`);
    }
  };
  return { driver: backend.kind === "vfio" ? "vfio-pci" : "virtio-net-pci", properties: {}, remove };
}

/** Makes what is behind the card. Nothing is left of it if a step fails. */
export async function plugNetworkCard(device: NetworkDevice, monitor: NetworkMonitor): Promise<PluggedCard> {
  const { id, macAddress, backend } = device;
  switch (backend.kind) {
    case "tap": {
      const netdev = `${id}-tap`;
      const taps: string[] = [];
      const vhosts: string[] = [];
      for (const [index, { tap, vhost }] of backend.queues.entries()) {
        taps.push(await monitor.sendDescriptor(`${netdev}${index}`, tap));
        if (vhost !== undefined) vhosts.push(await monitor.sendDescriptor(`${netdev}${index}-vhost`, vhost));
      }
      await monitor.orTakeBack([...taps, ...vhosts], () =>
        monitor.addNetdev(tapNetdev(netdev, taps, vhosts)),
      );
      return {
        driver: "virtio-net-pci",
        properties: {
          netdev,
          mac: macAddress,
          romfile: "",
          ...queueProperties(backend.queues.length),
        },
        remove: async () => void (await monitor.removeNetdev(netdev)),
      };
    }
    case "vhost-user": {
      const chardev = `${id}-socket`;
      const netdev = `${id}-user`;
      const name = await monitor.sendDescriptor(chardev, backend.socket);
      await monitor.orTakeBack([name], () => monitor.addSocket(chardev, name));
      try {
        await monitor.addNetdev({ type: "vhost-user", id: netdev, chardev, queues: backend.queues });
      } catch (error) {
        await monitor.removeSocket(chardev);
        throw error;
      }
      return {
        driver: "virtio-net-pci",
        properties: {
          netdev,
          mac: macAddress,
          romfile: "",
          ...queueProperties(backend.queues),
          ...queueSizes(backend.queueSize),
        },
        remove: async () => {
          await monitor.removeNetdev(netdev);
          await monitor.removeSocket(chardev);
        },
      };
    }
    case "vfio":
      return {
        driver: "vfio-pci",
        properties: { host: backend.pciAddress },
        remove: () => Promise.resolve(),
      };
  }
}

function tapNetdev(id: string, taps: readonly string[], vhosts: readonly string[]): TapNetdev {
  const [first] = taps;
  if (first === undefined) {
    throw new KataError("internal", { operation: "plug in network card", object: `${id} without a queue` });
  }
  const kernel = vhosts.length === taps.length;
  if (taps.length === 1) {
    return { type: "tap", id, fd: first, ...(kernel ? { vhost: true, vhostfd: vhosts[0] ?? "" } : {}) };
  }
  return {
    type: "tap",
    id,
    fds: taps.join(":"),
    ...(kernel ? { vhost: true, vhostfds: vhosts.join(":") } : {}),
  };
}
