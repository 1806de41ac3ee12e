/**
 * Cards of the host in a pod's machine: plugged in for a container, and out after it, each with its driver taken and given back.
 * Source: upstream Kata Containers, message Device of types vfio-pci and vfio-pci-gk.
 */
import { describeError, KataError } from "../../kata-error.ts";
import type { LinuxDevice } from "../../oci/types.ts";
import type { CardPort } from "../hypervisor/host-card.ts";
import type { VirtualMachine } from "../hypervisor/types.ts";
import type { GuestDevice } from "../storage/guest-messages.ts";
import type { Logger } from "../types.ts";
import type { CardDrivers } from "./card-drivers.ts";
import { type ContainerCards, cardsBehind } from "./container-cards.ts";

export interface HostCardsParts {
  readonly machine: Pick<VirtualMachine, "attach" | "detach">;
  readonly port: CardPort;
  readonly drivers: Pick<CardDrivers, "take" | "giveBack">;
  /** Whether the guest's kernel drives the cards; otherwise the container's programs do, by VFIO. */
  readonly guestKernelDrives: boolean;
  readonly logger: Logger;
  /** Another tree than /sys, for tests. */
  readonly sysfs?: string;
}

/** What is behind one node, in the machine. */
export interface PluggedCards {
  readonly message: GuestDevice;
  /** Takes the cards out. Once. */
  release(): Promise<void>;
}

export class HostCards {
  readonly #parts: HostCardsParts;
  /** Cards that containers have, or that the guest has kept. */
  readonly #used = new Set<string>();
  #count = 0;

  constructor(parts: HostCardsParts) {
    this.#parts = parts;
  }

  /** @throws KataError that names node or card; nothing is left then. */
  async plugIn(node: LinuxDevice): Promise<PluggedCards> {
    const cards = cardsBehind(node, this.#parts.sysfs);
    this.#check(cards);
    const plugged: string[] = [];
    const release = (): Promise<void> => this.#release(cards, plugged);
    try {
      for (const pciAddress of cards.pciAddresses) this.#used.add(pciAddress);
      // A card can be plugged in only if all of its group are bound.
      for (const pciAddress of cards.pciAddresses) this.#parts.drivers.take(pciAddress);
      const options: string[] = [];
      for (const pciAddress of cards.pciAddresses) {
        const id = `card${this.#count++}`;
        const pciPath = await this.#attach(id, pciAddress);
        plugged.push(id);
        options.push(`${pciAddress}=${pciPath}`);
      }
      return { message: this.#message(cards, options), release };
    } catch (error) {
      await release();
      throw error;
    }
  }

  async #attach(id: string, pciAddress: string): Promise<string> {
    const { machine, port, logger } = this.#parts;
    const at = await machine.attach({ kind: "host-card", id, pciAddress, port });
    if (!("pciPath" in at)) {
      throw new KataError("internal", { operation: "plug in device", object: `${id} is not on PCI` });
    }
    logger.info("card of the host is plugged in", { id, card: pciAddress, at: at.pciPath });
    return at.pciPath;
  }

  #check({ isGroup, containerPath, pciAddresses }: ContainerCards): void {
    if (!isGroup && !this.#parts.guestKernelDrives) {
      throw new KataError("unsupported", {
        operation: "pass PCI card to guest",
        object: `${containerPath} as a single card`,
        hint: 'the guest has nodes of IOMMU groups: give the container one of those, or set vfio_mode = "guest-kernel"',
      });
    }
    const used = pciAddresses.find((pciAddress) => this.#used.has(pciAddress));
    if (used === undefined) return;
    throw new KataError("failed-precondition", {
      operation: "pass PCI card to guest",
      object: `${used} of ${containerPath}`,
      hint: "another container of the pod has it, or the guest did not let go of it",
    });
  }

  #message({ name, containerPath }: ContainerCards, options: readonly string[]): GuestDevice {
    const type = this.#parts.guestKernelDrives ? "vfio-pci-gk" : "vfio-pci";
    return { id: name, type, vmPath: "", containerPath, options };
  }

  /**
   * The last one first. A card that the guest keeps goes with the machine: until then it is bound to vfio-pci, as the kernel would wait
   * for the machine to let go of it, and so are the others of its group.
   */
  async #release({ containerPath, pciAddresses }: ContainerCards, plugged: string[]): Promise<void> {
    const { machine, drivers, logger } = this.#parts;
    try {
      for (let id = plugged.at(-1); id !== undefined; id = plugged.at(-1)) {
        await machine.detach(id);
        plugged.pop();
      }
      for (const pciAddress of pciAddresses) {
        drivers.giveBack(pciAddress);
        this.#used.delete(pciAddress);
      }
    } catch (error) {
      logger.warn("a card of the host stays with the pod until its end", {
        node: containerPath,
        error: describeError(error),
      });
    }
  }
}
