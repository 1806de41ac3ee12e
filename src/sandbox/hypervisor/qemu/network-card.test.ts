import { describe, expect, test } from "vitest";
import type { NetworkBackend, NetworkDevice } from "../network-device.ts";
import {
  inheritNetworkCard,
  type Netdev,
  type NetworkMonitor,
  networkCardOptions,
  plugNetworkCard,
} from "./network-card.ts";

const MAC = "02:00:00:00:00:01";
const card = (backend: NetworkBackend): NetworkDevice => ({
  kind: "network",
  id: "network0",
  macAddress: MAC,
  backend,
});

const TWO_QUEUES = card({
  kind: "tap",
  queues: [
    { tap: 50, vhost: 60 },
    { tap: 51, vhost: 61 },
  ],
});
const VHOST_USER = card({ kind: "vhost-user", socket: 70, queues: 2, queueSize: 512 });
const VFIO = card({ kind: "vfio", pciAddress: "0000:01:00.0" });

/** Numbers from 3 on, in the order of the calls. */
function inheritance() {
  const inherited: number[] = [];
  return { inherited, inherit: (fd: number) => 2 + inherited.push(fd) };
}

describe("a card that the machine starts with", () => {
  const options = (device: NetworkDevice) => {
    const { inherited, inherit } = inheritance();
    const descriptors = inheritNetworkCard(device, inherit);
    const made = networkCardOptions(device, descriptors, "virtio-net-pci", ["bus=port0", "romfile="]);
    return { inherited, lines: made.map(([name, subOptions]) => `${name} ${subOptions.join(",")}`) };
  };

  test("has a queue pair for each tap, with the vectors that they need", () => {
    expect(options(TWO_QUEUES)).toEqual({
      inherited: [50, 60, 51, 61],
      lines: [
        "-netdev tap,id=network0-tap,fds=3:5,vhost=on,vhostfds=4:6",
        `-device virtio-net-pci,id=network0,netdev=network0-tap,mac=${MAC},mq=on,vectors=6,bus=port0,romfile=`,
      ],
    });
  });

  test("has no vectors where devices are not on PCI", () => {
    for (const model of ["virtio-net-device", "virtio-net-ccw"]) {
      const { inherit } = inheritance();
      const made = networkCardOptions(TWO_QUEUES, inheritNetworkCard(TWO_QUEUES, inherit), model, []);
      expect(made[1]?.[1].join(",")).toBe(`${model},id=network0,netdev=network0-tap,mac=${MAC},mq=on`);
    }
  });

  test("carries its packets in QEMU if a queue lacks the kernel's help", () => {
    const { lines } = options(card({ kind: "tap", queues: [{ tap: 50, vhost: 60 }, { tap: 51 }] }));
    expect(lines[0]).toBe("-netdev tap,id=network0-tap,fds=3:5");
  });

  test("is served by another program over its socket", () => {
    expect(options(VHOST_USER)).toEqual({
      inherited: [70],
      lines: [
        "-chardev socket,id=network0-socket,fd=3",
        "-netdev vhost-user,id=network0-user,chardev=network0-socket,queues=2",
        `-device virtio-net-pci,id=network0,netdev=network0-user,mac=${MAC},mq=on,vectors=6,rx_queue_size=512,tx_queue_size=512,bus=port0,romfile=`,
      ],
    });
  });

  test("is the host's own", () => {
    expect(options(VFIO)).toEqual({
      inherited: [],
      lines: ["-device vfio-pci,id=network0,host=0000:01:00.0,bus=port0,romfile="],
    });
  });
});

describe("a card that is plugged in", () => {
  /** Writes down what it is asked for. @param refuse the command that fails. */
  class RecordingMonitor implements NetworkMonitor {
    readonly said: string[] = [];
    readonly #refuse: string;

    constructor(refuse = "") {
      this.#refuse = refuse;
    }

    #say(name: string, what: unknown): Promise<void> {
      this.said.push(`${name} ${JSON.stringify(what)}`);
      return name === this.#refuse ? Promise.reject(new Error(`${name} refused`)) : Promise.resolve();
    }

    async sendDescriptor(name: string, descriptor: number): Promise<string> {
      await this.#say("getfd", [name, descriptor]);
      return name;
    }
    async orTakeBack(names: readonly string[], use: () => Promise<unknown>): Promise<void> {
      try {
        await use();
      } catch (error) {
        this.said.push(`closefd ${names.join(" ")}`);
        throw error;
      }
    }
    addNetdev(netdev: Netdev): Promise<void> {
      return this.#say("netdev_add", netdev);
    }
    removeNetdev(id: string): Promise<void> {
      return this.#say("netdev_del", id);
    }
    addSocket(id: string, name: string): Promise<void> {
      return this.#say("chardev-add", [id, name]);
    }
    removeSocket(id: string): Promise<void> {
      return this.#say("chardev-remove", id);
    }
  }

  test("gets all queues by name, and gives its back end back when it goes", async () => {
    const monitor = new RecordingMonitor();
    const plugged = await plugNetworkCard(TWO_QUEUES, monitor);
    expect(plugged).toMatchObject({
      driver: "virtio-net-pci",
      properties: { netdev: "network0-tap", mac: MAC, romfile: "", mq: true, vectors: 6 },
    });
    await plugged.remove();
    expect(monitor.said).toEqual([
      'getfd ["network0-tap0",50]',
      'getfd ["network0-tap0-vhost",60]',
      'getfd ["network0-tap1",51]',
      'getfd ["network0-tap1-vhost",61]',
      'netdev_add {"type":"tap","id":"network0-tap","fds":"network0-tap0:network0-tap1","vhost":true,"vhostfds":"network0-tap0-vhost:network0-tap1-vhost"}',
      'netdev_del "network0-tap"',
    ]);
  });

  test("leaves no socket behind if its program refuses it", async () => {
    const monitor = new RecordingMonitor("netdev_add");
    await expect(plugNetworkCard(VHOST_USER, monitor)).rejects.toThrow("netdev_add refused");
    expect(monitor.said).toEqual([
      'getfd ["network0-socket",70]',
      'chardev-add ["network0-socket","network0-socket"]',
      'netdev_add {"type":"vhost-user","id":"network0-user","chardev":"network0-socket","queues":2}',
      'chardev-remove "network0-socket"',
    ]);
  });

  test("of the host is named by its PCI address", async () => {
    expect(await plugNetworkCard(VFIO, new RecordingMonitor())).toMatchObject({
      driver: "vfio-pci",
      properties: { host: "0000:01:00.0" },
    });
  });
});
