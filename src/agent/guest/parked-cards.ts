/**
 * Network cards that the machine has before its pod is known: out of sight in a network namespace of their own, since a pod without
 * a network has none.
 * Source: network_namespaces(7).
 */
import { hasErrno } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { O_RDONLY, open } from "../../sys/files.ts";
import { setns, unshare } from "../../sys/namespaces.ts";
import { listLinks, moveLink, setLink } from "../../sys/netlink/links.ts";
import { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { CLONE_NEWNET } from "../../sys/process.ts";
import { freeName } from "./network.ts";

/** More than a pod's machine gets at once. */
const MOST_CARDS = 32;

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
    using here = NetlinkSocket.open();
    moveAll(there, home.fd, (move, name) => withFreeName(here, name, move));
  }
}

type Move = () => void;

function moveAll(
  from: NetlinkSocket,
  to: number,
  how: (move: Move, name: string) => void = (move) => move(),
): void {
  for (const { index, name, loopback, up } of listLinks(from)) {
    if (loopback) continue;
    // Addresses and routes go with its being up.
    if (up) setLink(from, index, name, { up: false });
    how(() => moveLink(from, index, name, to), name);
  }
}

/** A card that is plugged in at the same time takes the first name that is free, so it may come between. */
function withFreeName(here: NetlinkSocket, name: string, move: Move): void {
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

function newNamespace(): FileDescriptor {
  using home = open(OWN_NAMESPACE, O_RDONLY);
  unshare(CLONE_NEWNET);
  try {
    return open(OWN_NAMESPACE, O_RDONLY);
  } finally {
    setns(home.fd, CLONE_NEWNET);
  }
}
