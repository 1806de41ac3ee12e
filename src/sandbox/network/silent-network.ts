/**
 * A network namespace in which nothing is, with taps that nobody listens to: for a machine that has network cards and no network yet.
 *
 * Neither namespace nor taps have a name on the host; they are gone when this is closed and the last process in it has ended.
 */
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { O_RDONLY, open } from "../../sys/files.ts";
import { setns, unshare } from "../../sys/namespaces.ts";
import { CLONE_NEWNET } from "../../sys/process.ts";
import type { NetworkDevice } from "../hypervisor/types.ts";
import { NetworkNamespace } from "./network-namespace.ts";

/** Of no maker; the guest gets the pod's own before it uses the card. */
const PLACEHOLDER_MAC = "02:00:00:00:00:01";

const OWN_NAMESPACE = "/proc/self/ns/net";

export class SilentNetwork {
  readonly #descriptor: FileDescriptor;
  readonly #namespace: NetworkNamespace;
  readonly #taps: FileDescriptor[] = [];

  private constructor(descriptor: FileDescriptor, namespace: NetworkNamespace) {
    this.#descriptor = descriptor;
    this.#namespace = namespace;
  }

  static make(): SilentNetwork {
    const descriptor = newNamespace();
    try {
      return new SilentNetwork(descriptor, NetworkNamespace.open(pathOf(descriptor)));
    } catch (error) {
      descriptor.close();
      throw error;
    }
  }

  /** A file of the namespace, for this process and for children before their execve. */
  get path(): string {
    return pathOf(this.#descriptor);
  }

  /** A card whose tap is in the namespace. */
  card(index: number): NetworkDevice {
    const tap = this.#namespace.openTap(tapName(index)).descriptor;
    this.#taps.push(tap);
    return { ...placeholderCard(index), tap: tap.fd };
  }

  close(): void {
    for (const tap of this.#taps) tap.close();
    this.#namespace.close();
    this.#descriptor.close();
  }
}

/** A card of a machine that has no network yet; it has no tap. */
export function placeholderCard(index: number): NetworkDevice {
  return { kind: "network", id: cardId(index), tap: -1, macAddress: PLACEHOLDER_MAC };
}

/** Names of a pod's cards and taps, by their order. */
export function cardId(index: number): string {
  return `network${index}`;
}

export function tapName(index: number): string {
  return `tap${index}_kata`;
}

function pathOf(descriptor: FileDescriptor): string {
  return `/proc/self/fd/${descriptor.fd}`;
}

function newNamespace(): FileDescriptor {
  using home = open(OWN_NAMESPACE, O_RDONLY);
  unshare(CLONE_NEWNET);
  try {
    return open(OWN_NAMESPACE, O_RDONLY);
  } finally {
    setns(home.fd, CLONE_NEWNET);
  }
}
