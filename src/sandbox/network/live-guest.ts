/** The running guest, as far as its network goes: the machine's cards and the agent's calls. */
import type { AgentClient, CallOptions } from "../agent-client.ts";
import type { VirtualMachine } from "../hypervisor/types.ts";
import type { GuestNetwork, LiveGuest } from "./pod-network.ts";

export function liveGuest(machine: VirtualMachine, calls: AgentClient, call: CallOptions): LiveGuest {
  return {
    plug: async (device) => void (await machine.attach(device)),
    unplug: (id) => machine.detach(id),
    updateInterface: async (wanted) => void (await calls.updateInterface({ interface: wanted }, call)),
    updateRoutes: async (routes) => void (await calls.updateRoutes({ routes: { Routes: routes } }, call)),
    addNeighbours: async (neighbours) =>
      void (await calls.addARPNeighbors({ neighbors: { ARPNeighbors: neighbours } }, call)),
  };
}

/** Tells a guest that knows of no network yet. */
export async function tellNetwork(
  calls: AgentClient,
  { interfaces, routes, neighbours }: GuestNetwork,
  call: CallOptions,
): Promise<void> {
  for (const each of interfaces) await calls.updateInterface({ interface: each }, call);
  if (routes.length > 0) await calls.updateRoutes({ routes: { Routes: routes } }, call);
  if (neighbours.length > 0) {
    await calls.addARPNeighbors({ neighbors: { ARPNeighbors: neighbours } }, call);
  }
}
