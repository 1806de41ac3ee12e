/**
 * A network namespace in which nothing is, with taps that nobody listens to: for a machine that has network cards and no network yet.
 *
 * Neither namespace nor taps have a name on the host; they are gone when this is closed and the last process in it has ended.
 */
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { duplicate } from "../../sys/process.ts";
import type { NetworkDevice } from "../hypervisor/network-device.ts";
import { cardId, tapName } from "./card-names.ts";
import { NetworkNamespace } from "./network-namespace.ts";
import { NO_NETWORK, type SandboxNetwork } from "./sandbox-network.ts";
import { makeLastingTap, makeTap } from "./tap.ts";

/** Of no maker; the guest gets the pod's own before it uses the card. */
const PLACEHOLDER_MAC = "02:00:00:00:00:01";

export class SilentNetwork {
  readonly #namespace: NetworkNamespace;
  readonly #taps: FileDescriptor[] = [];

  private constructor(namespace: NetworkNamespace) {
    this.#namespace = namespace;
  }

  static make(): SilentNetwork {
    return new SilentNetwork(NetworkNamespace.create());
  }

  /** A file of the namespace, for this process and for children before their execve. */
  get path(): string {
    return this.#namespace.path;
  }

  /** What a start sees of it: a namespace to be in, and nothing to tell the guest. */
  get unjoined(): SandboxNetwork {
    return { ...NO_NETWORK, namespacePath: this.path };
  }

  /** The namespace's descriptor for another owner. */
  duplicate(): FileDescriptor {
    return duplicate(this.#namespace.fd);
  }

  /** A card whose tap is in the namespace. @param queues its queue pairs; 0 for a monitor that opens the tap by its name. */
  card(index: number, queues: number): NetworkDevice {
    if (queues === 0) {
      const name = tapName(index);
      // It goes with the namespace.
      makeLastingTap(this.#namespace, name);
      return { ...placeholderCard(index, 0), backend: { kind: "tap", queues: [], name } };
    }
    const taps = makeTap(this.#namespace, tapName(index), queues);
    this.#taps.push(...taps);
    return {
      ...placeholderCard(index, queues),
      backend: { kind: "tap", queues: taps.map(({ fd }) => ({ tap: fd })) },
    };
  }

  /** Closes what the machine has copies of by now: its taps go with it. */
  closeTaps(): void {
    for (const tap of this.#taps) tap.close();
  }

  close(): void {
    this.closeTaps();
    this.#namespace.close();
  }
}

/** A card of a machine that has no network yet; it has no tap. */
export function placeholderCard(index: number, queues: number): NetworkDevice {
  return {
    kind: "network",
    id: cardId(index),
    macAddress: PLACEHOLDER_MAC,
    backend: { kind: "tap", queues: Array.from({ length: queues }, () => ({ tap: -1 })) },
  };
}
