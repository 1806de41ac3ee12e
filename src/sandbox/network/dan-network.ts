/** Joining the devices that a file describes. */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { readTextFile } from "../../sys/files.ts";
import { ownNamespacePath } from "../../sys/namespaces.ts";
import { linkByName } from "../../sys/netlink/links.ts";
import { CLONE_NEWNET, duplicate } from "../../sys/process.ts";
import { connect } from "../../sys/socket.ts";
import type { NetworkBackend, NetworkDevice } from "../hypervisor/network-device.ts";
import { requireOneQueue } from "./attach-link.ts";
import { cardId } from "./card-names.ts";
import { type DanDevice, parseDanFile } from "./dan-file.ts";
import { randomMacAddress } from "./mac-address.ts";
import { NetworkChanges } from "./network-changes.ts";
import { NetworkNamespace } from "./network-namespace.ts";
import type { NetworkRecord } from "./network-steps.ts";
import type { SandboxNetwork } from "./sandbox-network.ts";
import { openExistingTap } from "./tap.ts";
import { bindToVfio, driverOfCard } from "./vfio-binding.ts";
import { openVhostNet } from "./vhost-net.ts";

/** A description of 16 devices with hundreds of routes each is smaller, bytes. */
const MAX_FILE_BYTES = 1 << 20;

export interface DanOptions {
  readonly vhost: boolean;
  readonly record: NetworkRecord;
  /** Whether the monitor opens taps itself, by their names. */
  readonly tapsByName?: boolean;
}

/** @throws KataError that names the file; nothing of the devices is held then. */
export async function joinDanNetwork(path: string, options: DanOptions): Promise<SandboxNetwork> {
  const { namespace: namespacePath, devices } = read(path);
  const namespace = NetworkNamespace.open(namespacePath ?? ownNamespacePath(CLONE_NEWNET));
  const changes = new NetworkChanges(namespace, options.record);
  changes.owns("network namespace", () => namespace.close());
  const descriptors: FileDescriptor[] = [];
  const own = (opened: readonly FileDescriptor[]): readonly FileDescriptor[] => {
    descriptors.push(...opened);
    changes.owns("descriptors", () => opened.forEach((descriptor) => void descriptor.close()));
    return opened;
  };
  try {
    const cards: NetworkDevice[] = [];
    for (const [index, device] of devices.entries()) {
      cards.push({
        kind: "network",
        id: cardId(index),
        macAddress: device.macAddress ?? randomMacAddress(),
        backend: await join(device, changes, own, options),
      });
    }
    return {
      namespacePath,
      devices: cards,
      guest: {
        interfaces: devices.map((device, index) => ({
          ...device.interface,
          hwAddr: cards[index]?.macAddress ?? "",
        })),
        routes: devices.flatMap(({ routes }) => routes),
        neighbours: devices.flatMap(({ neighbours }) => neighbours),
      },
      pod: undefined,
      closeDescriptors: () => descriptors.forEach((descriptor) => void descriptor.close()),
      disconnect: () => changes.undo(),
    };
  } catch (error) {
    await changes.undo();
    throw error;
  }
}

function read(path: string): ReturnType<typeof parseDanFile> {
  try {
    return parseDanFile(readTextFile(path, MAX_FILE_BYTES));
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    throw new KataError("invalid-argument", {
      operation: "read network devices of the pod",
      object: `${path}: ${error.object}`,
      errno: error.errno,
      hint: error.hint,
      cause: error,
    });
  }
}

async function join(
  { backend }: DanDevice,
  changes: NetworkChanges,
  own: (opened: readonly FileDescriptor[]) => readonly FileDescriptor[],
  options: DanOptions,
): Promise<NetworkBackend> {
  switch (backend.kind) {
    case "vfio": {
      const { pciAddress } = backend;
      const driver = driverOfCard(pciAddress);
      await changes.make({ kind: "driver", pciAddress, driver }, () => bindToVfio(pciAddress));
      return { kind: "vfio", pciAddress };
    }
    case "vhost-user": {
      const { socket, queues, queueSize } = backend;
      const [connected] = own([await connectTo(socket)]);
      return { kind: "vhost-user", socket: connected?.fd ?? -1, queues, queueSize };
    }
    case "host-tap": {
      const { namespace } = changes;
      const link = linkByName(namespace.netlink, backend.tap);
      if (link.tun?.mode !== "tap") {
        throw new KataError("invalid-argument", {
          operation: "open tap",
          object: `${backend.tap} in ${namespace.path} is no tap`,
        });
      }
      if (options.tapsByName === true) {
        requireOneQueue(link.name, link.tun);
        return { kind: "tap", queues: [], name: link.name };
      }
      const taps = own(openExistingTap(namespace, link.name, link.tun, backend.queues));
      return {
        kind: "tap",
        queues: taps.map(({ fd }) => {
          const vhost = options.vhost ? openVhostNet() : undefined;
          return { tap: fd, ...(vhost === undefined ? {} : { vhost: own([vhost])[0]?.fd ?? -1 }) };
        }),
      };
    }
  }
}

async function connectTo(path: string): Promise<FileDescriptor> {
  try {
    const stream = await connect({ kind: "unix", path });
    const connection = duplicate(stream.fd);
    stream.close();
    return connection;
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ECONNREFUSED", "EACCES")) throw error;
    throw new KataError("unavailable", {
      operation: "connect to vhost-user device",
      object: path,
      errno: error.errno,
      hint: "the program that carries its packets must listen there before the pod starts",
      cause: error,
    });
  }
}
