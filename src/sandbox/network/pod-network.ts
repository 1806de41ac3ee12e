/**
 * The network of a pod: what is in its network namespace, joined to the virtual machine, and kept so while the pod lives.
 *
 * The guest's card gets the address of its link, so to the network it is the link. What changes in the namespace later (a link
 * that comes or goes, an address, a route) is carried to the guest by {@link PodNetwork.settle}; `live-network.ts` calls it
 * whenever the kernel tells of a change.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { stat } from "../../sys/files.ts";
import type { NetworkEvents } from "../../sys/netlink/network-events.ts";
import { Rollback } from "../../sys/rollback.ts";
import type { NetworkDevice } from "../hypervisor/network-device.ts";
import { type AttachedLink, attachLink, type LinkOptions, wasBrought } from "./attach-link.ts";
import { isOwnLink } from "./card-names.ts";
import {
  type GuestInterface,
  type GuestNeighbour,
  type GuestRoute,
  guestInterface,
  guestNeighbours,
  guestRoutes,
} from "./guest-network.ts";
import type { Link, NamespaceContents } from "./namespace-contents.ts";
import type { NetworkNamespace } from "./network-namespace.ts";

/** Most links of a pod: the bridge that their cards are on has 30 slots, and disks are there too. */
export const MAX_LINKS = 16;

/** What a guest calls the first card that it finds. */
const BROUGHT_CARD = "eth0";

/** What a guest is told, all at once, when its sandbox is created. */
export interface GuestNetwork {
  readonly interfaces: readonly GuestInterface[];
  readonly routes: readonly GuestRoute[];
  readonly neighbours: readonly GuestNeighbour[];
}

/** A running guest whose network can be changed. */
export interface LiveGuest {
  plug(device: NetworkDevice): Promise<void>;
  unplug(id: string): Promise<void>;
  updateInterface(wanted: GuestInterface): Promise<void>;
  updateRoutes(routes: readonly GuestRoute[]): Promise<void>;
  addNeighbours(neighbours: readonly GuestNeighbour[]): Promise<void>;
}

interface JoinedLink {
  readonly index: number;
  readonly number: number;
  readonly attached: AttachedLink;
  /** What the guest was told of it. */
  told: GuestInterface;
  /** Of a link whose configuration was taken away: what it had. */
  readonly taken: GuestNetwork | undefined;
}

/** Whether `path` is the network namespace that this process, the host's side, is in. */
export function isHostNetwork(path: string): boolean {
  let other: ReturnType<typeof stat>;
  try {
    other = stat(path);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR", "EACCES")) throw error;
    throw new KataError("not-found", {
      operation: "open network namespace",
      object: path,
      errno: error.errno,
      hint: "the pod's network namespace must exist before its containers",
      cause: error,
    });
  }
  const own = stat("/proc/self/ns/net");
  return own.inode === other.inode && own.onMinor === other.onMinor && own.onMajor === other.onMajor;
}

export class PodNetwork {
  readonly #namespace: NetworkNamespace;
  readonly #options: LinkOptions;
  readonly #events: NetworkEvents;
  readonly #undo = new Rollback();
  readonly #joined: JoinedLink[] = [];
  #toldRoutes: readonly GuestRoute[] = [];
  #toldNeighbours: readonly GuestNeighbour[] = [];
  /** Links that could not be joined, and why: told once. */
  readonly #refused = new Map<number, string>();

  private constructor(namespace: NetworkNamespace, options: LinkOptions, events: NetworkEvents) {
    this.#namespace = namespace;
    this.#options = options;
    this.#events = events;
  }

  /**
   * Joins everything in the namespace, which is this object's from now on.
   *
   * @throws KataError; nothing is left in the namespace then.
   */
  static async connect(namespace: NetworkNamespace, options: LinkOptions): Promise<PodNetwork> {
    const undo = new Rollback();
    undo.add("network namespace", () => namespace.close());
    try {
      // Before the first look, so that nothing comes between.
      const events = namespace.events();
      undo.add("notices of the network", () => events.close());
      const network = new PodNetwork(namespace, options, events);
      network.#undo.adopt(undo);
      undo.add("network", () => network.disconnect());
      await network.#joinAll();
      undo.keep();
      return network;
    } catch (error) {
      await undo.run();
      throw error;
    }
  }

  async #joinAll(): Promise<void> {
    const contents = this.#namespace.contents();
    const links = configuredLinks(contents);
    if (links.length > MAX_LINKS) {
      throw new KataError("unsupported", {
        operation: "connect network",
        object: `${this.#namespace.path} has ${links.length} links`,
        hint: `a virtual machine takes ${MAX_LINKS}`,
      });
    }
    for (const link of links) await this.#join(link, contents, this.#options);
    this.#toldRoutes = this.#wantedRoutes(contents);
    this.#toldNeighbours = this.#wantedNeighbours(contents);
  }

  async #join(link: Link, contents: NamespaceContents, options: LinkOptions): Promise<JoinedLink> {
    const number = this.#freeNumber(link.name);
    const told = guestInterface(link, contents.addresses);
    const taken: GuestNetwork = {
      interfaces: [told],
      routes: guestRoutes([link], contents.routes),
      neighbours: guestNeighbours([link], contents.neighbours),
    };
    const attached = await attachLink(this.#namespace, link, number, options);
    const joined = {
      index: link.index,
      number,
      attached,
      // A card that was there before has neither the link's name nor its address.
      told: wasBrought(attached.device) ? { ...told, device: BROUGHT_CARD } : told,
      taken: attached.followed ? undefined : taken,
    };
    this.#joined.push(joined);
    return joined;
  }

  #freeNumber(link: string): number {
    for (let number = 0; number < MAX_LINKS; number++) {
      if (!this.#joined.some((joined) => joined.number === number)) return number;
    }
    throw new KataError("resource-exhausted", {
      operation: "connect network",
      object: link,
      hint: `a virtual machine takes ${MAX_LINKS} links`,
    });
  }

  /** The cards of the links that are joined now. */
  get devices(): readonly NetworkDevice[] {
    return this.#joined.map(({ attached }) => attached.device);
  }

  /** What the guest has to know before anything of it changes. */
  get guest(): GuestNetwork {
    return {
      interfaces: this.#joined.map(({ told }) => told),
      routes: this.#toldRoutes,
      neighbours: this.#toldNeighbours,
    };
  }

  /** Closes what the machine has copies of by now. */
  closeDescriptors(): void {
    for (const { attached } of this.#joined) attached.closeDescriptors();
  }

  /** Resolves when something in the namespace has changed. @throws KataError `closed` after {@link disconnect}. */
  changed(): Promise<void> {
    return this.#events.arrived();
  }

  /** Whether there were changes since the last call. */
  takeChanges(): boolean {
    return this.#events.take();
  }

  /**
   * Makes the guest's network what the namespace has now. What cannot be done does not keep the rest from being done.
   *
   * @param canPlug whether the machine takes and gives cards while it runs.
   * @returns what could not be done, in sentences; the same one only once for each link.
   */
  async settle(guest: LiveGuest, canPlug: boolean): Promise<string[]> {
    const contents = this.#namespace.contents();
    const failures: string[] = [];
    const attempt = async (index: number, what: string, action: () => Promise<void>): Promise<void> => {
      try {
        await action();
        this.#refused.delete(index);
      } catch (error) {
        const sentence = `${what}: ${error instanceof Error ? error.message : String(error)}`;
        if (this.#refused.get(index) !== sentence) failures.push(sentence);
        this.#refused.set(index, sentence);
      }
    };
    for (const joined of this.#gone(contents)) {
      await attempt(joined.index, `unplug ${joined.told.name}`, () => this.#leave(joined, guest));
    }
    for (const link of this.#newLinks(contents)) {
      await attempt(link.index, `plug in ${link.name}`, () => this.#plug(link, contents, guest, canPlug));
    }
    for (const { joined, link } of this.#present(contents)) {
      await attempt(link.index, `update ${link.name}`, () => this.#follow(joined, link, contents, guest));
    }
    await attempt(-1, "update routes", () => this.#followRoutes(contents, guest));
    await attempt(-2, "update neighbours", () => this.#followNeighbours(contents, guest));
    return failures;
  }

  /** Links that are joined and are no more. A card that was given away is in no namespace. */
  #gone({ links }: NamespaceContents): JoinedLink[] {
    return this.#joined.filter(
      ({ index, attached }) =>
        attached.device.backend.kind !== "vfio" && !links.some((link) => link.index === index),
    );
  }

  #newLinks(contents: NamespaceContents): Link[] {
    return configuredLinks(contents).filter(
      (link) => !this.#joined.some(({ index }) => index === link.index),
    );
  }

  #present({ links }: NamespaceContents): { readonly joined: JoinedLink; readonly link: Link }[] {
    return this.#joined.flatMap((joined) => {
      const link = links.find(({ index }) => index === joined.index);
      return link === undefined || joined.taken !== undefined ? [] : [{ joined, link }];
    });
  }

  async #leave(joined: JoinedLink, guest: LiveGuest): Promise<void> {
    await guest.unplug(joined.attached.device.id);
    this.#forget(joined);
    await joined.attached.detach();
  }

  /** No error if {@link disconnect} was quicker. */
  #forget(joined: JoinedLink): void {
    const at = this.#joined.indexOf(joined);
    if (at >= 0) this.#joined.splice(at, 1);
  }

  async #plug(link: Link, contents: NamespaceContents, guest: LiveGuest, canPlug: boolean): Promise<void> {
    if (!canPlug) {
      throw new KataError("unsupported", {
        operation: "plug in network card",
        object: link.name,
        hint: "this kind of machine takes no cards while it runs: give the pod its links before it starts",
      });
    }
    // Whoever configures the link is not done with it: its addresses must stay where they are.
    const options: LinkOptions = { ...this.#options, model: "tcfilter", passCards: false };
    const joined = await this.#join(link, contents, options);
    try {
      if (!wasBrought(joined.attached.device)) await guest.plug(joined.attached.device);
      joined.attached.closeDescriptors();
      await guest.updateInterface(joined.told);
    } catch (error) {
      this.#forget(joined);
      await guest.unplug(joined.attached.device.id).catch(() => undefined);
      await joined.attached.detach();
      throw error;
    }
  }

  async #follow(
    joined: JoinedLink,
    link: Link,
    contents: NamespaceContents,
    guest: LiveGuest,
  ): Promise<void> {
    const wanted = guestInterface(link, contents.addresses);
    if (isSame(wanted, joined.told)) return;
    if (wanted.mtu !== joined.told.mtu) joined.attached.setMtu(link.mtu);
    // By the name that the guest knows it by, as its hardware address may be new.
    await guest.updateInterface({ ...wanted, device: joined.told.name });
    joined.told = wanted;
    // The kernel drops the routes that needed an address which is gone: they are told again.
    this.#toldRoutes = [];
  }

  async #followRoutes(contents: NamespaceContents, guest: LiveGuest): Promise<void> {
    const wanted = this.#wantedRoutes(contents);
    if (isSame(wanted, this.#toldRoutes)) return;
    await guest.updateRoutes(wanted);
    this.#toldRoutes = wanted;
  }

  async #followNeighbours(contents: NamespaceContents, guest: LiveGuest): Promise<void> {
    const wanted = this.#wantedNeighbours(contents);
    const added = wanted.filter((one) => !this.#toldNeighbours.some((old) => isSame(one, old)));
    if (added.length > 0) await guest.addNeighbours(added);
    this.#toldNeighbours = wanted;
  }

  #wantedRoutes(contents: NamespaceContents): GuestRoute[] {
    const taken = this.#joined.flatMap((joined) => joined.taken?.routes ?? []);
    return [...taken, ...guestRoutes(this.#followedLinks(contents), contents.routes)].sort(byGateway);
  }

  #wantedNeighbours(contents: NamespaceContents): GuestNeighbour[] {
    const taken = this.#joined.flatMap((joined) => joined.taken?.neighbours ?? []);
    return [...taken, ...guestNeighbours(this.#followedLinks(contents), contents.neighbours)];
  }

  #followedLinks(contents: NamespaceContents): Link[] {
    return this.#present(contents).map(({ link }) => link);
  }

  /** Undoes everything; the namespace is as it was. Any number of calls. */
  async disconnect(): Promise<void> {
    const links = new Rollback();
    for (const { told, attached } of this.#joined.splice(0)) {
      links.add(`link ${told.name}`, () => attached.detach());
    }
    this.#undo.adopt(links);
    await this.#undo.run();
  }
}

/** A gateway must be reachable when it is named. */
function byGateway(a: GuestRoute, b: GuestRoute): number {
  return Number(a.gateway !== "") - Number(b.gateway !== "");
}

/** Plain data with its fields always in the same order. */
function isSame(a: object, b: object): boolean {
  const text = (value: object) =>
    JSON.stringify(value, (_, field: unknown) => (typeof field === "bigint" ? field.toString() : field));
  return text(a) === text(b);
}

/**
 * The links that the pod is to have. One without an address is none of them: tunnel modules put their base devices (`sit0`,
 * `tunl0`, …) into every namespace.
 */
function configuredLinks({ links, addresses }: NamespaceContents): Link[] {
  return links.filter(
    ({ loopback, index, name }) =>
      !loopback && !isOwnLink(name) && addresses.some(({ linkIndex }) => linkIndex === index),
  );
}
