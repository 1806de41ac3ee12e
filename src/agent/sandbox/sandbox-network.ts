/** The pod's network in the guest: what it is told with the sandbox, and cards that come after it. */
import { traced, tracedNow } from "../../sys/trace.ts";
import {
  addNeighbours,
  type GuestInterface,
  type GuestNeighbour,
  type GuestRoute,
  updateInterface,
  updateRoutes,
} from "../guest/network.ts";
import { ParkedCards } from "../guest/parked-cards.ts";

/** What else than its containers the pod's machine is told at once; each may be empty. */
export interface GuestNetwork {
  readonly interfaces: readonly GuestInterface[];
  /** undefined leaves the routes as they are. */
  readonly routes: readonly GuestRoute[] | undefined;
  readonly neighbours: readonly GuestNeighbour[];
}

export class SandboxNetwork {
  readonly #parked = new ParkedCards();
  readonly #timeoutMs: number;

  /** @param timeoutMs longest wait for a card that is being plugged in. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Sets it up before any container has begun its life. @throws KataError as `updateInterface` and `updateRoutes`. */
  async connect({ interfaces, routes, neighbours }: GuestNetwork): Promise<void> {
    if (interfaces.length > 0) this.#parked.unpark();
    for (const each of interfaces) {
      await traced("guest", `set up ${each.name}`, updateInterface(each, this.#timeoutMs));
    }
    if (routes !== undefined) tracedNow("guest", "set up routes", () => updateRoutes(routes));
    if (neighbours.length > 0) addNeighbours(neighbours);
  }

  /** Makes an interface what the host wants, wherever its card is. @throws KataError as `updateInterface`. */
  async update(wanted: GuestInterface): Promise<void> {
    await this.#parked.fetch(wanted, this.#timeoutMs);
    await updateInterface(wanted, this.#timeoutMs);
  }

  /** Puts the machine's cards out of sight until a pod has interfaces. */
  park(): void {
    this.#parked.park();
  }
}

/** Whether a host tells of anything at all. */
export function isAny({ interfaces, routes, neighbours }: GuestNetwork): boolean {
  return interfaces.length > 0 || routes !== undefined || neighbours.length > 0;
}
