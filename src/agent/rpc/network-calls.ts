/** The calls about the pod's network. */
import {
  addNeighbours,
  type GuestInterface,
  type GuestNeighbour,
  type GuestRoute,
  listGuestRoutes,
  listInterfaces,
  type PresentInterface,
  type PresentRoute,
  updateRoutes,
} from "../guest/network.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import type { GuestNetwork } from "../sandbox/sandbox-network.ts";
import {
  type AgentServiceHandlers,
  type InterfaceInput,
  type InterfaceMessage,
  IPFamily,
  type NeighbourMessage,
  type RouteInput,
  type RouteMessage,
} from "./generated.ts";
import { required } from "./request-checks.ts";

type NetworkCalls = Pick<
  AgentServiceHandlers,
  "updateInterface" | "updateRoutes" | "listInterfaces" | "listRoutes" | "addARPNeighbors"
>;

/** `IFF_NOARP` of netdevice(7), as hosts give it. */
const IFF_NOARP = 0x80;

export function networkCalls(sandbox: Sandbox): NetworkCalls {
  return {
    async updateInterface(request) {
      const message = required(request.interface, "update interface", "interface");
      sandbox.requireGuest("set up network");
      await sandbox.modulesLoaded;
      await sandbox.network.update(interfaceOf(message));
      return message;
    },

    async updateRoutes(request) {
      const message = required(request.routes, "update routes", "routes");
      sandbox.requireGuest("set up network");
      await sandbox.modulesLoaded;
      updateRoutes(message.Routes.map(routeOf));
      return { Routes: listGuestRoutes().map(routeMessage) };
    },

    async listInterfaces() {
      return { Interfaces: listInterfaces().map(interfaceMessage) };
    },

    async listRoutes() {
      return { Routes: listGuestRoutes().map(routeMessage) };
    },

    async addARPNeighbors(request) {
      const { ARPNeighbors } = required(request.neighbors, "add neighbours", "neighbours");
      sandbox.requireGuest("set up network");
      await sandbox.modulesLoaded;
      addNeighbours(ARPNeighbors.map(neighbourOf));
      return {};
    },
  };
}

/** The network of a CreateSandbox that brings it along. */
export function networkOf(request: {
  readonly interfaces?: { readonly Interfaces: readonly InterfaceMessage[] } | undefined;
  readonly routes?: { readonly Routes: readonly RouteMessage[] } | undefined;
  readonly neighbors?: { readonly ARPNeighbors: readonly NeighbourMessage[] } | undefined;
}): GuestNetwork {
  return {
    interfaces: (request.interfaces?.Interfaces ?? []).map(interfaceOf),
    routes: request.routes?.Routes.map(routeOf),
    neighbours: (request.neighbors?.ARPNeighbors ?? []).map(neighbourOf),
  };
}

function neighbourOf({ toIPAddress, device, lladdr, state, flags }: NeighbourMessage): GuestNeighbour {
  const { address } = required(toIPAddress, "add neighbour", "address");
  return { address, device, macAddress: lladdr, state, flags };
}

function interfaceOf(message: InterfaceMessage): GuestInterface {
  return {
    device: message.device,
    name: message.name,
    macAddress: message.hwAddr,
    mtu: Number(message.mtu),
    addresses: message.IPAddresses.map(({ address, mask }) => ({ address, mask })),
    arp: (message.rawFlags & IFF_NOARP) === 0,
  };
}

function interfaceMessage({ link, addresses }: PresentInterface): InterfaceInput {
  return {
    device: link.name,
    name: link.name,
    IPAddresses: addresses.map(({ address, prefixLength }) => ({
      family: address.includes(":") ? IPFamily.v6 : IPFamily.v4,
      address,
      mask: String(prefixLength),
    })),
    mtu: BigInt(link.mtu),
    hwAddr: link.macAddress,
    type: link.kind,
    rawFlags: link.flags,
  };
}

function routeOf(message: RouteMessage): GuestRoute {
  const { dest, gateway, device, source, scope, family, flags, mtu, priority } = message;
  return {
    destination: dest,
    gateway,
    device,
    source,
    scope,
    family: family === IPFamily.v6 ? 6 : 4,
    flags,
    mtu,
    priority,
  };
}

function routeMessage({ route, device }: PresentRoute): RouteInput {
  return {
    dest: route.destination,
    gateway: route.gateway,
    device,
    source: route.preferredSource,
    scope: route.scope,
    family: route.family === 6 ? IPFamily.v6 : IPFamily.v4,
    flags: route.flags,
    mtu: route.mtu,
    priority: route.priority,
  };
}
