/**
 * A pod's network namespace, worked on from outside.
 *
 * A socket or tap stays in the namespace that it was opened in, so this process enters it only for the opening and is back before
 * anything else of it runs. The namespace lives as long as this object is open, whoever removes its name meanwhile.
 * Sources: network_namespaces(7), rtnetlink(7).
 */
import { hasErrno } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { O_RDONLY, open, writeExisting } from "../../sys/files.ts";
import { inNamespace, openNamespace, ownNamespacePath, unshare } from "../../sys/namespaces.ts";
import { listAddresses } from "../../sys/netlink/addresses.ts";
import { linkByName, listLinks, setLink } from "../../sys/netlink/links.ts";
import { listNeighbours } from "../../sys/netlink/neighbours.ts";
import { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { NetworkEvents } from "../../sys/netlink/network-events.ts";
import { listRoutes } from "../../sys/netlink/routes.ts";
import { CLONE_NEWNET } from "../../sys/process.ts";
import type { NamespaceContents } from "./namespace-contents.ts";

export class NetworkNamespace {
  /** Its file. For one that has none, a file that only this process and its children can open. */
  readonly path: string;
  readonly netlink: NetlinkSocket;
  readonly #namespace: FileDescriptor;

  private constructor(path: string, namespace: FileDescriptor, netlink: NetlinkSocket) {
    this.path = path;
    this.#namespace = namespace;
    this.netlink = netlink;
  }

  /** @throws KataError `invalid-argument` if `path` is no network namespace, `system-call` if it cannot be opened. */
  static open(path: string): NetworkNamespace {
    return NetworkNamespace.#of(path, openNamespace(path, CLONE_NEWNET));
  }

  /** Makes a new one with nothing but the loopback interface. It goes with its last process and descriptor. */
  static create(): NetworkNamespace {
    using home = open(ownNamespacePath(CLONE_NEWNET), O_RDONLY);
    const namespace = inNamespace(home.fd, CLONE_NEWNET, () => {
      unshare(CLONE_NEWNET);
      return open(ownNamespacePath(CLONE_NEWNET), O_RDONLY);
    });
    return NetworkNamespace.#of(`/proc/self/fd/${namespace.fd}`, namespace);
  }

  static #of(path: string, namespace: FileDescriptor): NetworkNamespace {
    try {
      return new NetworkNamespace(path, namespace, NetlinkSocket.open(namespace.fd));
    } catch (error) {
      namespace.close();
      throw error;
    }
  }

  /** The namespace's descriptor, which stays this object's. */
  get fd(): number {
    return this.#namespace.fd;
  }

  /** Any number of calls. */
  close(): void {
    this.netlink.close();
    this.#namespace.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  contents(): NamespaceContents {
    return {
      links: listLinks(this.netlink),
      addresses: listAddresses(this.netlink),
      routes: listRoutes(this.netlink),
      neighbours: listNeighbours(this.netlink),
    };
  }

  /** Notices of all that changes in the namespace from now on. */
  events(): NetworkEvents {
    return NetworkEvents.open(this.#namespace.fd);
  }

  /** Runs `action`, which must not wait, inside of the namespace. */
  inside<T>(action: () => T): T {
    return inNamespace(this.#namespace.fd, CLONE_NEWNET, action);
  }

  /**
   * Brings a link of ours up. The guest is behind it: the host's own IPv6 has nothing to announce there.
   *
   * @param mtu bytes.
   */
  bringUp(name: string, mtu: number): void {
    this.#silence(name);
    setLink(this.netlink, linkByName(this.netlink, name).index, name, { mtu, up: true });
  }

  #silence(link: string): void {
    // procfs shows the settings of the reader's namespace.
    const setting = `/proc/sys/net/ipv6/conf/${link}/disable_ipv6`;
    try {
      this.inside(() => writeExisting(setting, "1"));
    } catch (error) {
      // Without IPv6, or where procfs is read-only, a few packets too many do no harm.
      if (!hasErrno(error, "ENOENT", "EROFS", "EACCES", "EPERM")) throw error;
    }
  }
}
