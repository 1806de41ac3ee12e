import { describe, expect, test } from "vitest";
import { parseDanFile } from "./dan-file.ts";

/** As upstream's Go runtime takes it: a VFIO card, and one key with a capital. */
const GO = {
  netns: null,
  devices: [
    {
      name: "eth0",
      guest_mac: "02:00:CA:FE:00:04",
      device: { type: "vfio", pci_device_id: "0000:65:0a.2" },
      network_info: {
        interface: {
          ip_addresses: ["192.168.0.100/24", "2001:db8::7/64"],
          mtu: 1400,
          ntype: "tuntap",
          flags: 0,
        },
        routes: [{ dest: "172.18.0.0/16", source: "172.18.0.1", gateway: "172.18.31.1", scope: 0, flags: 4 }],
        Neighbors: [{ ip_address: "192.168.0.3", hardware_addr: "44:33:22:11:00:ff", state: 128, flags: 0 }],
      },
    },
  ],
};

/** As upstream's Rust runtime takes it. */
const RUST = {
  netns: "/run/netns/pod1",
  devices: [
    {
      name: "eth0",
      guest_mac: "",
      device: { type: "vhost-user", path: "/run/vhost-user/a.sock", queue_num: 2, queue_size: 512 },
      network_info: {
        interface: { ip_addresses: ["10.0.0.2/8"], mtu: 0 },
        routes: [
          { dest: "0.0.0.0/0", gateway: "10.0.0.1", mtu: 1300 },
          { dest: "", gateway: "fe80::1" },
        ],
        neighbors: [],
      },
    },
    { name: "eth1", device: { type: "host-tap", tap_name: "tap7", queue_num: 0 }, network_info: null },
  ],
};

describe("parseDanFile()", () => {
  test("reads what upstream's Go runtime takes", () => {
    expect(parseDanFile(JSON.stringify(GO))).toEqual({
      namespace: undefined,
      devices: [
        {
          backend: { kind: "vfio", pciAddress: "0000:65:0a.2" },
          macAddress: "02:00:ca:fe:00:04",
          interface: {
            device: "eth0",
            name: "eth0",
            IPAddresses: [
              { family: 0, address: "192.168.0.100", mask: "24" },
              { family: 1, address: "2001:db8::7", mask: "64" },
            ],
            mtu: 1400n,
            hwAddr: "",
            rawFlags: 0,
          },
          routes: [
            {
              dest: "172.18.0.0/16",
              gateway: "172.18.31.1",
              device: "eth0",
              source: "172.18.0.1",
              scope: 0,
              family: 0,
              flags: 4,
              mtu: 0,
              priority: 0,
            },
          ],
          neighbours: [
            {
              toIPAddress: { family: 0, address: "192.168.0.3", mask: "" },
              device: "eth0",
              lladdr: "44:33:22:11:00:ff",
              state: 128,
              flags: 0,
            },
          ],
        },
      ],
    });
  });

  test("reads what upstream's Rust runtime takes, and fills in what may be missing", () => {
    const { namespace, devices } = parseDanFile(JSON.stringify(RUST));
    expect(namespace).toBe("/run/netns/pod1");
    expect(devices.map(({ backend, macAddress }) => ({ backend, macAddress }))).toEqual([
      {
        backend: { kind: "vhost-user", socket: "/run/vhost-user/a.sock", queues: 2, queueSize: 512 },
        macAddress: undefined,
      },
      { backend: { kind: "host-tap", tap: "tap7", queues: 1 }, macAddress: undefined },
    ]);
    expect(devices[0]?.interface.mtu).toBe(1500n);
    expect(devices[0]?.routes.map(({ dest, gateway, family, mtu }) => [dest, gateway, family, mtu])).toEqual([
      ["", "10.0.0.1", 0, 1300],
      ["", "fe80::1", 1, 0],
    ]);
    expect(devices[1]).toMatchObject({
      interface: { name: "eth1", IPAddresses: [] },
      routes: [],
      neighbours: [],
    });
  });

  const changed = (change: object) => ({ devices: [{ ...GO.devices[0], ...change }] });
  test.each([
    ["no JSON", "{"],
    ["no devices", {}],
    ["seventeen devices", { devices: Array.from({ length: 17 }, () => GO.devices[0]) }],
    ["a device of another type", changed({ device: { type: "macvtap" } })],
    ["a VFIO card without its address", changed({ device: { type: "vfio" } })],
    ["a path in a PCI address", changed({ device: { type: "vfio", pci_device_id: "../../x" } })],
    ["a relative socket", changed({ device: { type: "vhost-user", path: "a.sock" } })],
    ["a queue that QEMU has not", changed({ device: { type: "vhost-user", path: "/a", queue_size: 300 } })],
    ["a tap's name that no link has", changed({ device: { type: "host-tap", tap_name: "a/b" } })],
    ["an interface's name that no link has", changed({ name: "" })],
    ["a hardware address of words", changed({ guest_mac: "none" })],
    [
      "an IP address that is none",
      changed({ network_info: { interface: { ip_addresses: ["10.0.0.256/8"] } } }),
    ],
    [
      "a neighbour without an address",
      changed({ network_info: { neighbors: [{ hardware_addr: "02:00:00:00:00:01" }] } }),
    ],
  ])("refuses %s", (_what, content) => {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    expect(() => parseDanFile(text)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });
});
