/**
 * Disks that another program serves (vhost-user-blk): QEMU hands the guest's queues to it, and sees no request itself.
 *
 * A connection is made here and inherited, as QEMU has no business at paths. Only where it is to be made again after the program went
 * away, QEMU is told the path.
 * Source: QEMU documentation, docs/interop/vhost-user.rst; QMP reference, chardev-add.
 */
import { connect } from "../../../sys/socket.ts";
import type { ServedDiskDevice } from "../disk-device.ts";
import { DEFAULT_TUNING } from "./disk-options.ts";
import type { NetworkMonitor, PluggedCard } from "./network-card.ts";
import type { QmpClient } from "./qmp-client.ts";
import type { SocketBackend } from "./qmp-messages.ts";

/** Makes the connection. @returns the device for it; nothing is left if it fails. */
export async function addServedDisk(
  device: ServedDiskDevice,
  monitor: QmpClient,
  sockets: Pick<NetworkMonitor, "sendDescriptor" | "orTakeBack" | "addSocket" | "removeSocket">,
): Promise<PluggedCard> {
  const chardev = `${device.id}-socket`;
  if (device.reconnectSeconds > 0) {
    const backend = lastingBackend(device, monitor.version);
    await monitor.execute("chardev-add", { id: chardev, backend });
  } else {
    const connection = await connect({ kind: "unix", path: device.socket });
    try {
      const name = await sockets.sendDescriptor(chardev, connection.fd);
      await sockets.orTakeBack([name], () => sockets.addSocket(chardev, name));
    } finally {
      connection.close();
    }
  }
  return {
    driver: "vhost-user-blk-pci",
    properties: servedDiskProperties(device, chardev),
    remove: async () => void (await sockets.removeSocket(chardev)),
  };
}

/** Properties of the guest's device. How large its sectors are, and whether it can be written to, the program tells. */
export function servedDiskProperties({ tuning = DEFAULT_TUNING }: ServedDiskDevice, chardev: string) {
  return { chardev, "num-queues": tuning.queues, "queue-size": tuning.queueSize, "disable-legacy": "on" };
}

/** From this version on QEMU counts the time in milliseconds. Source: QEMU documentation, "Deprecated features", 9.2. */
const MILLISECONDS_FROM = [9, 2] as const;

/** @param version of QEMU, `7.2.22`. */
export function lastingBackend(
  { socket: path, reconnectSeconds }: ServedDiskDevice,
  version: string,
): SocketBackend {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isNew =
    major > MILLISECONDS_FROM[0] || (major === MILLISECONDS_FROM[0] && minor >= MILLISECONDS_FROM[1]);
  return {
    type: "socket",
    data: {
      addr: { type: "unix", data: { path } },
      server: false,
      ...(isNew ? { "reconnect-ms": reconnectSeconds * 1000 } : { reconnect: reconnectSeconds }),
    },
  };
}
