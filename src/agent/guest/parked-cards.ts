/**
 * Network cards that the machine has before its pod is known: out of sight in a network namespace of their own, since a pod without
 * a network has none.
 * Source: network_namespaces(7).
 */
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { O_RDONLY, open } from "../../sys/files.ts";
import { setns, unshare } from "../../sys/namespaces.ts";
import { listLinks, moveLink, setLink } from "../../sys/netlink/links.ts";
import { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { CLONE_NEWNET } from "../../sys/process.ts";

const OWN_NAMESPACE = "/proc/self/ns/net";

export class ParkedCards {
  #lot: FileDescriptor | undefined;

  /** Takes all cards away. */
  park(): void {
    this.#lot ??= newNamespace();
    using here = NetlinkSocket.open();
    moveAll(here, this.#lot.fd);
  }

  /** Brings them back, if they are away. */
  unpark(): void {
    if (this.#lot === undefined) return;
    using home = open(OWN_NAMESPACE, O_RDONLY);
    using there = NetlinkSocket.open(this.#lot.fd);
    moveAll(there, home.fd);
  }
}

function moveAll(from: NetlinkSocket, to: number): void {
  for (const { index, name, loopback, up } of listLinks(from)) {
    if (loopback) continue;
    // Addresses and routes go with its being up.
    if (up) setLink(from, index, name, { up: false });
    moveLink(from, index, name, to);
  }
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
