/**
 * Network cards that the machine has before its pod is known: out of sight, since a pod without a network has none.
 *
 * It is this process that leaves, into a network namespace of its own with nothing but `lo`: to come back takes one call, where moving
 * a card makes the kernel wait for all processors again and again. Cards that are plugged in meanwhile are where the first ones are.
 * Source: network_namespaces(7).
 */
import { hasErrno } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { O_RDONLY, open } from "../../sys/files.ts";
import { inNamespace, setns, unshare } from "../../sys/namespaces.ts";
import { listAddresses } from "../../sys/netlink/addresses.ts";
import { listLinks, moveLink, setLink } from "../../sys/netlink/links.ts";
import { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { CLONE_NEWNET } from "../../sys/process.ts";
import { setLoopbackUp } from "../boot/loopback.ts";
import { awaitDevice } from "../device/await-device.ts";
import { findLink, freeName, type GuestInterface, removeAddress } from "./network.ts";

/** More than a pod's machine gets at once. */
const MOST_CARDS = 32;

const OWN_NAMESPACE = "/proc/self/ns/net";

export class ParkedCards {
  /** Where the cards are, while this process is somewhere else. */
  #lot: FileDescriptor | undefined;

  /** Leaves all cards, which lose their addresses and routes. */
  park(): void {
    if (this.#lot !== undefined) return;
    {
      using socket = NetlinkSocket.open();
      for (const { index, name, loopback, up } of listLinks(socket)) {
        if (loopback) continue;
        // IPv6's addresses, and all routes, go with its being up.
        if (up) setLink(socket, index, name, { up: false });
        for (const address of listAddresses(socket)) {
          if (address.linkIndex === index) removeAddress(socket, address);
        }
      }
    }
    const lot = open(OWN_NAMESPACE, O_RDONLY);
    try {
      unshare(CLONE_NEWNET);
      setLoopbackUp();
    } catch (error) {
      setns(lot.fd, CLONE_NEWNET);
      lot.close();
      throw error;
    }
    this.#lot = lot;
  }

  /** Comes back to them, if they are away. Nothing that was started meanwhile comes along. */
  unpark(): void {
    if (this.#lot === undefined) return;
    setns(this.#lot.fd, CLONE_NEWNET);
    this.#lot.close();
    this.#lot = undefined;
  }

  /**
   * Brings the card of an interface to where this process is, if it is away.
   *
   * @param timeoutMs longest wait for a card that is being plugged in.
   * @throws KataError `deadline-exceeded` if it does not come.
   */
  async fetch(wanted: GuestInterface, timeoutMs: number): Promise<void> {
    const lot = this.#lot;
    if (lot === undefined) return;
    using here = NetlinkSocket.open();
    if (findLink(listLinks(here), wanted) !== undefined) return;
    using there = NetlinkSocket.open(lot.fd);
    // The kernel tells of a card only in the namespace that it comes to.
    const coming = inNamespace(lot.fd, CLONE_NEWNET, () =>
      awaitDevice(`network interface ${wanted.macAddress}`, timeoutMs, () =>
        findLink(listLinks(there), wanted),
      ),
    );
    const { index, name, up } = await coming;
    using home = open(OWN_NAMESPACE, O_RDONLY);
    if (up) setLink(there, index, name, { up: false });
    withFreeName(here, name, () => moveLink(there, index, name, home.fd));
  }
}

/** Another card that arrives at the same time takes the first name that is free, so it may come between. */
function withFreeName(here: NetlinkSocket, name: string, move: () => void): void {
  for (let left = MOST_CARDS; ; left--) {
    freeName(here, name);
    try {
      move();
      return;
    } catch (error) {
      if (left === 0 || !hasErrno(error, "EEXIST")) throw error;
    }
  }
}
