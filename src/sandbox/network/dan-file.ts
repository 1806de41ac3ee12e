/**
 * Files that describe a pod's network devices instead of its network namespace (directly attachable network): written by whoever
 * manages the devices of a host, one a sandbox.
 *
 * Upstream's two runtimes know different kinds of devices; here are all of them.
 * Source: upstream Kata Containers, docs/design/proposals/direct-attachable-network.
 */
import { KataError } from "../../kata-error.ts";
import {
  integer,
  listOf,
  matching,
  objectOf,
  oneOf,
  optional,
  type Reader,
  readDocument,
  text,
  uint32,
} from "../../oci/json-reader.ts";
import { parseIpAddress, parseIpPrefix } from "../../sys/netlink/ip-address.ts";
import { checkLinkName } from "../../sys/netlink/links.ts";
import type { GuestAddress, GuestInterface, GuestNeighbour, GuestRoute } from "./guest-network.ts";
import { MAX_LINKS } from "./pod-network.ts";

/** What is behind a card. */
export type DanBackend =
  | { readonly kind: "vfio"; readonly pciAddress: string }
  | {
      readonly kind: "vhost-user";
      readonly socket: string;
      readonly queues: number;
      readonly queueSize: number;
    }
  | { readonly kind: "host-tap"; readonly tap: string; readonly queues: number };

export interface DanDevice {
  readonly backend: DanBackend;
  /** Undefined if one has to be made up. */
  readonly macAddress: string | undefined;
  /** What the guest is told; its hardware address is empty. */
  readonly interface: GuestInterface;
  readonly routes: readonly GuestRoute[];
  readonly neighbours: readonly GuestNeighbour[];
}

export interface DanFile {
  /** File of the network namespace that the monitor lives in, and taps are in; undefined for a new one, and the host's taps. */
  readonly namespace: string | undefined;
  readonly devices: readonly DanDevice[];
}

interface FileDevice {
  readonly name: string;
  readonly guest_mac?: string;
  readonly device: {
    readonly type: "vfio" | "vhost-user" | "host-tap";
    readonly pci_device_id?: string;
    readonly path?: string;
    readonly tap_name?: string;
    readonly queue_num?: number;
    readonly queue_size?: number;
  };
  readonly network_info?: FileNetwork;
}

interface FileNetwork {
  readonly interface?: {
    readonly ip_addresses?: readonly string[];
    readonly mtu?: number;
    readonly flags?: number;
  };
  readonly routes?: readonly {
    readonly dest?: string;
    readonly gateway?: string;
    readonly source?: string;
    readonly scope?: number;
    readonly flags?: number;
    readonly mtu?: number;
  }[];
  readonly neighbors?: readonly {
    readonly ip_address?: string;
    readonly hardware_addr: string;
    readonly state?: number;
    readonly flags?: number;
  }[];
}

const MAC_ADDRESS = matching(/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/, "a hardware address");
const MAX_MTU = 65_535;
const MAX_QUEUES = 256;
/** QEMU's bounds of a card's queue, packets. */
const queueSize = oneOfNumbers(256, 512, 1024);
const DEFAULT_QUEUE_SIZE = 256;
const DEFAULT_MTU = 1500;

const network = objectOf<FileNetwork>({
  interface: optional(
    objectOf<NonNullable<FileNetwork["interface"]>>({
      ip_addresses: optional(listOf(text, "IP addresses")),
      mtu: optional(integer(0, MAX_MTU)),
      flags: optional(uint32),
    }),
  ),
  routes: optional(
    listOf(
      objectOf<NonNullable<FileNetwork["routes"]>[number]>({
        dest: optional(text),
        gateway: optional(text),
        source: optional(text),
        scope: optional(integer(0, 255)),
        flags: optional(uint32),
        mtu: optional(integer(0, MAX_MTU)),
      }),
      "routes",
    ),
  ),
  neighbors: optional(
    listOf(
      objectOf<NonNullable<FileNetwork["neighbors"]>[number]>({
        ip_address: optional(text),
        hardware_addr: MAC_ADDRESS,
        state: optional(uint32),
        flags: optional(uint32),
      }),
      "neighbours",
    ),
  ),
});

const file = objectOf<{ readonly netns?: string; readonly devices: readonly FileDevice[] }>({
  netns: optional(text),
  devices: listOf(
    objectOf<FileDevice>({
      name: text,
      guest_mac: optional(text),
      device: objectOf<FileDevice["device"]>({
        type: oneOf("vfio", "vhost-user", "host-tap"),
        pci_device_id: optional(matching(/^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/, "a PCI address")),
        path: optional(matching(/^\//, "an absolute path")),
        tap_name: optional(text),
        queue_num: optional(integer(0, MAX_QUEUES)),
        queue_size: optional(queueSize),
      }),
      network_info: optional((value, place) => network(lowerCaseKeys(value), place)),
    }),
    "devices",
  ),
});

/** @throws KataError `invalid-argument` that names the place in the file. */
export function parseDanFile(json: string): DanFile {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new KataError("invalid-argument", {
      operation: "read network devices of the pod",
      object: cause instanceof Error ? cause.message : "no JSON",
      cause,
    });
  }
  const { netns, devices } = readDocument(file, value);
  if (devices.length > MAX_LINKS) {
    throw new KataError("invalid-argument", {
      operation: "read network devices of the pod",
      object: `${devices.length} devices`,
      hint: `a virtual machine takes ${MAX_LINKS}`,
    });
  }
  return {
    namespace: netns === undefined || netns === "" ? undefined : netns,
    devices: devices.map(deviceOf),
  };
}

function deviceOf(device: FileDevice, index: number): DanDevice {
  const name = checkLinkName(device.name);
  const info = device.network_info;
  const mac = device.guest_mac ?? "";
  return {
    backend: backendOf(device, `devices[${index}].device`),
    macAddress: mac === "" ? undefined : MAC_ADDRESS(mac, `devices[${index}].guest_mac`).toLowerCase(),
    interface: {
      device: name,
      name,
      IPAddresses: (info?.interface?.ip_addresses ?? []).map(addressOf),
      mtu: BigInt(info?.interface?.mtu || DEFAULT_MTU),
      hwAddr: "",
      rawFlags: info?.interface?.flags ?? 0,
    },
    routes: (info?.routes ?? []).map(({ dest = "", gateway = "", source = "", scope, flags, mtu }) => ({
      dest: isDefault(dest) ? "" : dest,
      gateway,
      device: name,
      source,
      scope: scope ?? 0,
      family: [dest, gateway, source].some((address) => address.includes(":")) ? 1 : 0,
      flags: flags ?? 0,
      mtu: mtu ?? 0,
      priority: 0,
    })),
    neighbours: (info?.neighbors ?? []).map(({ ip_address = "", hardware_addr, state, flags }) => ({
      toIPAddress: {
        family: ip_address.includes(":") ? 1 : 0,
        address: checkedAddress(ip_address),
        mask: "",
      },
      device: name,
      lladdr: hardware_addr,
      state: state ?? 0,
      flags: flags ?? 0,
    })),
  };
}

function backendOf({ device }: FileDevice, place: string): DanBackend {
  const needed = <T>(value: T | undefined, name: string): T => {
    if (value !== undefined) return value;
    throw new KataError("invalid-argument", {
      operation: "read network devices of the pod",
      object: `${place}.${name}: a ${device.type} device needs it`,
    });
  };
  const queues = Math.max(1, device.queue_num ?? 1);
  switch (device.type) {
    case "vfio":
      return { kind: "vfio", pciAddress: needed(device.pci_device_id, "pci_device_id") };
    case "vhost-user":
      return {
        kind: "vhost-user",
        socket: needed(device.path, "path"),
        queues,
        queueSize: device.queue_size ?? DEFAULT_QUEUE_SIZE,
      };
    case "host-tap":
      return { kind: "host-tap", tap: checkLinkName(needed(device.tap_name, "tap_name")), queues };
  }
}

function addressOf(prefix: string): GuestAddress {
  const { length } = parseIpPrefix(prefix);
  const address = prefix.split("/")[0] ?? "";
  return { family: address.includes(":") ? 1 : 0, address, mask: String(length) };
}

function checkedAddress(text: string): string {
  parseIpAddress(text);
  return text;
}

function isDefault(destination: string): boolean {
  return destination === "0.0.0.0/0" || destination === "::/0" || destination === "default";
}

/** Go reads keys whatever their case, and its examples spell one of them with a capital. */
function lowerCaseKeys(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key.toLowerCase(), item]));
}

function oneOfNumbers(...numbers: readonly number[]): Reader<number> {
  return (value, place) => {
    const number = integer(0, Math.max(...numbers))(value, place);
    if (numbers.includes(number)) return number;
    throw new KataError("invalid-argument", {
      operation: "read network devices of the pod",
      object: `${place}: ${number}`,
      hint: `it is one of ${numbers.join(", ")}`,
    });
  };
}
