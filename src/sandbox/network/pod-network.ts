/**
 * The network of a pod: what is in its network namespace, joined to the virtual machine.
 *
 * For every link of the namespace a tap is made beside it, and the kernel passes every packet from one to the other
 * (`tcfilter`). The guest's card gets the link's address, so to the network it is the link. Links, addresses and routes of the
 * namespace stay as they are; a tap goes with the last process that has it open.
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { O_RDWR, open, stat } from "../../sys/files.ts";
import { Rollback } from "../../sys/rollback.ts";
import type { NetworkDevice } from "../hypervisor/types.ts";
import {
  type GuestInterface,
  type GuestNeighbour,
  type GuestRoute,
  guestInterface,
  guestNeighbours,
  guestRoutes,
} from "./guest-network.ts";
import type { Link, NamespaceContents } from "./namespace-contents.ts";
import { NetworkNamespace } from "./network-namespace.ts";
import { cardId, tapName } from "./silent-network.ts";

/** Most links of a pod: the machine's first bus has 32 slots, and other devices are on it too. */
const MAX_LINKS = 16;

export interface PodNetwork {
  readonly devices: readonly NetworkDevice[];
  readonly interfaces: readonly GuestInterface[];
  readonly routes: readonly GuestRoute[];
  readonly neighbours: readonly GuestNeighbour[];
  /** Closes what the machine has copies of by now. */
  closeDescriptors(): void;
  /** Takes the redirection away; the namespace is as it was then. No error if the namespace is gone. */
  disconnect(): Promise<void>;
}

export interface PodNetworkOptions {
  /** Whether packets may be carried by the kernel (/dev/vhost-net), where it can. */
  readonly vhost: boolean;
  /** Told of each link before packets are redirected from it, for cleaning up after a crash. */
  readonly onRedirect: (link: string, tap: string) => void;
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

/** Joins everything in the namespace of `path`. @throws KataError; nothing is left in the namespace then. */
export async function connectPodNetwork(path: string, options: PodNetworkOptions): Promise<PodNetwork> {
  const undo = new Rollback();
  const descriptors: FileDescriptor[] = [];
  try {
    const namespace = NetworkNamespace.open(path);
    undo.add("network namespace", () => namespace.close());
    const contents = namespace.contents();
    const links = configuredLinks(contents);
    if (links.length > MAX_LINKS) {
      throw new KataError("unsupported", {
        operation: "connect network",
        object: `${path} has ${links.length} links`,
        hint: `a virtual machine takes ${MAX_LINKS}`,
      });
    }
    const devices: NetworkDevice[] = [];
    for (const [index, link] of links.entries()) {
      const name = tapName(index);
      const tap = namespace.openTap(name);
      descriptors.push(tap.descriptor);
      undo.add(`tap ${name}`, () => tap.descriptor.close());
      const vhost = options.vhost ? openVhostNet() : undefined;
      if (vhost !== undefined) {
        descriptors.push(vhost);
        undo.add("vhost-net", () => vhost.close());
      }
      options.onRedirect(link.name, name);
      namespace.prepareTap(name, link.mtu);
      await namespace.redirect(link.name, name);
      // Only now: somebody else's discipline would go with it.
      undo.add(`redirection of ${link.name}`, () => namespace.stopRedirecting(link.name));
      await namespace.redirect(name, link.name);
      devices.push({
        kind: "network",
        id: cardId(index),
        tap: tap.descriptor.fd,
        macAddress: link.macAddress,
        ...(vhost === undefined ? {} : { vhost: vhost.fd }),
      });
    }
    return {
      devices,
      interfaces: links.map((link) => guestInterface(link, contents.addresses)),
      routes: guestRoutes(links, contents.routes),
      neighbours: guestNeighbours(links, contents.neighbours),
      closeDescriptors: () => descriptors.forEach((descriptor) => void descriptor.close()),
      disconnect: () => undo.run(),
    };
  } catch (error) {
    await undo.run();
    throw error;
  }
}

/**
 * The links that the pod is to have. One without an address is none of them: tunnel modules put their base devices (`sit0`,
 * `tunl0`, …) into every namespace.
 *
 * @throws KataError `unsupported` for a link that carries no Ethernet frames.
 */
function configuredLinks({ links, addresses }: NamespaceContents): Link[] {
  const configured = links.filter(
    ({ loopback, index }) => !loopback && addresses.some(({ linkIndex }) => linkIndex === index),
  );
  for (const { name, macAddress } of configured) {
    if (macAddress !== "") continue;
    throw new KataError("unsupported", {
      operation: "connect network",
      object: `link ${name} has no Ethernet address`,
      hint: "a guest's network card carries Ethernet frames, give the pod a veth or macvlan link",
    });
  }
  return configured;
}

function openVhostNet(): FileDescriptor | undefined {
  try {
    return open("/dev/vhost-net", O_RDWR);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENODEV", "ENXIO", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}
