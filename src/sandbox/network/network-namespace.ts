/**
 * A pod's network namespace, worked on from outside.
 *
 * A socket or tap stays in the namespace that it was opened in, so this process enters it only for the opening and is back before
 * anything else of it runs. The namespace lives as long as this object is open, whoever removes its name meanwhile.
 * Sources: network_namespaces(7), rtnetlink(7), Linux Documentation/networking/tuntap.rst.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { sleep } from "../../sys/clock.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { loop } from "../../sys/event-loop.ts";
import { O_RDWR, open, writeExisting } from "../../sys/files.ts";
import { check, kernel } from "../../sys/kernel.ts";
import { inNamespace, openNamespace } from "../../sys/namespaces.ts";
import { listAddresses } from "../../sys/netlink/addresses.ts";
import { checkLinkName, linkByName, listLinks, setLink } from "../../sys/netlink/links.ts";
import { listNeighbours } from "../../sys/netlink/neighbours.ts";
import { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { listRoutes } from "../../sys/netlink/routes.ts";
import { addIngress, deleteIngress, redirectIngress } from "../../sys/netlink/traffic-control.ts";
import { CLONE_NEWNET } from "../../sys/process.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import type { NamespaceContents } from "./namespace-contents.ts";

const TUN_DEVICE = "/dev/net/tun";
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
/** Each packet has a header for what the guest leaves to the host: checksums, segmentation. */
const IFF_VNET_HDR = 0x4000;
/** struct ifreq: name of 16 bytes, then the flags u16. */
const IFREQ_BYTES = 40;
const IFREQ_FLAGS = 16;

/** The kernel takes an old discipline apart in the background; until then a new one is refused. */
const BUSY_TRIES = 20;
const BUSY_INTERVAL_MS = 10;

export class NetworkNamespace {
  readonly #path: string;
  readonly #namespace: FileDescriptor;
  readonly #netlink: NetlinkSocket;

  private constructor(path: string, namespace: FileDescriptor, netlink: NetlinkSocket) {
    this.#path = path;
    this.#namespace = namespace;
    this.#netlink = netlink;
  }

  /** @throws KataError `invalid-argument` if `path` is no network namespace, `system-call` if it cannot be opened. */
  static open(path: string): NetworkNamespace {
    const namespace = openNamespace(path, CLONE_NEWNET);
    try {
      return new NetworkNamespace(path, namespace, NetlinkSocket.open(namespace.fd));
    } catch (error) {
      namespace.close();
      throw error;
    }
  }

  /** Any number of calls. */
  close(): void {
    this.#netlink.close();
    this.#namespace.close();
  }

  contents(): NamespaceContents {
    return {
      links: listLinks(this.#netlink),
      addresses: listAddresses(this.#netlink),
      routes: listRoutes(this.#netlink),
      neighbours: listNeighbours(this.#netlink),
    };
  }

  /**
   * Makes a tap in the namespace. It goes with the last copy of the descriptor.
   *
   * @throws KataError `unavailable` if this host has no taps; `system-call` with EBUSY if the name is taken.
   */
  openTap(name: string): { readonly descriptor: FileDescriptor } {
    const request = new Uint8Array(IFREQ_BYTES);
    request.set(utf8Encode(checkLinkName(name)));
    new DataView(request.buffer).setUint16(IFREQ_FLAGS, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, true);
    const descriptor = inNamespace(this.#namespace.fd, CLONE_NEWNET, openTunDevice);
    try {
      check(
        kernel().syscall("ioctl", descriptor.fd, TUNSETIFF, request),
        "make tap",
        `${name} in ${this.#path}`,
      );
      return { descriptor };
    } catch (error) {
      descriptor.close();
      throw error;
    }
  }

  /** Brings a tap up. @param mtu bytes. */
  prepareTap(name: string, mtu: number): void {
    this.#silence(name);
    setLink(this.#netlink, linkByName(this.#netlink, name).index, name, { mtu, up: true });
  }

  /** The guest is at the other end of a tap: the host's own IPv6 has nothing to announce there. */
  #silence(link: string): void {
    // procfs shows the settings of the reader's namespace.
    const setting = `/proc/sys/net/ipv6/conf/${link}/disable_ipv6`;
    try {
      inNamespace(this.#namespace.fd, CLONE_NEWNET, () => writeExisting(setting, "1"));
    } catch (error) {
      // Without IPv6, or where procfs is read-only, a few packets too many do no harm.
      if (!hasErrno(error, "ENOENT", "EROFS", "EACCES", "EPERM")) throw error;
    }
  }

  /**
   * Sends every packet that comes in on link `from` out on link `to`.
   *
   * @throws KataError `busy` if somebody else takes the link's packets already.
   */
  async redirect(from: string, to: string): Promise<void> {
    const source = linkByName(this.#netlink, from).index;
    const target = linkByName(this.#netlink, to).index;
    await this.#addIngress(source, from);
    try {
      redirectIngress(this.#netlink, source, target, from);
    } catch (error) {
      deleteIngress(this.#netlink, source, from);
      throw error;
    }
  }

  async #addIngress(index: number, name: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        addIngress(this.#netlink, index, name);
        return;
      } catch (error) {
        if (hasErrno(error, "EEXIST")) {
          throw new KataError("busy", {
            operation: "redirect packets of",
            object: `${name} in ${this.#path}`,
            errno: error.errno,
            hint: "another program's ingress or clsact discipline is on it, see tc qdisc show",
            cause: error,
          });
        }
        if (!hasErrno(error, "EBUSY", "EAGAIN") || tries >= BUSY_TRIES) throw error;
      }
      await sleep(loop, BUSY_INTERVAL_MS);
    }
  }

  /** Takes back {@link redirect}. No error if the link or the redirection is gone. */
  stopRedirecting(link: string): void {
    try {
      deleteIngress(this.#netlink, linkByName(this.#netlink, link).index, link);
    } catch (error) {
      if (!hasErrno(error, "ENODEV")) throw error;
    }
  }
}

function openTunDevice(): FileDescriptor {
  try {
    return open(TUN_DEVICE, O_RDWR);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENODEV", "ENXIO", "EACCES", "EPERM")) throw error;
    throw new KataError("unavailable", {
      operation: "make tap",
      object: TUN_DEVICE,
      errno: error.errno,
      hint: "a pod with a network needs the kernel's tun module and its device node: modprobe tun",
      cause: error,
    });
  }
}
