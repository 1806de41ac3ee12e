/** Joining one link of a pod's network namespace to the virtual machine. */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { readlinkat } from "../../sys/files.ts";
import { removeSavedAddresses, saveConfiguration } from "../../sys/netlink/link-configuration.ts";
import { createMacvlan, linkByName, setLink, type TunFacts } from "../../sys/netlink/links.ts";
import type { NetworkBackend, NetworkDevice, TapQueue } from "../hypervisor/network-device.ts";
import { baseName } from "../path.ts";
import { cardId, macvtapName, tapName } from "./card-names.ts";
import { type InterworkingModel, planEndpoint } from "./endpoint.ts";
import { randomMacAddress } from "./mac-address.ts";
import type { Link } from "./namespace-contents.ts";
import { NetworkChanges } from "./network-changes.ts";
import type { NetworkNamespace } from "./network-namespace.ts";
import { configurationStep, type NetworkRecord } from "./network-steps.ts";
import { type LimitPoints, limitRates, type RateLimits } from "./rate-limit.ts";
import { redirect } from "./redirection.ts";
import { makeLastingTap, makeTap, openExistingTap, openMacvtap, openSysfs } from "./tap.ts";
import { bindToVfio, driverOfCard, isPciAddress } from "./vfio-binding.ts";
import { openVhostNet } from "./vhost-net.ts";

export interface LinkOptions {
  readonly model: InterworkingModel;
  /** Queue pairs of a card, where the link can have several. */
  readonly queues: number;
  /** Whether packets may be carried by the kernel (/dev/vhost-net), where it can. */
  readonly vhost: boolean;
  readonly limits: RateLimits;
  /** Whether a card of the host may be given to the machine. Only at its start. */
  readonly passCards: boolean;
  readonly record: NetworkRecord;
  /** Whether the monitor opens taps itself, by their names: one queue, and nothing but a tap. */
  readonly tapsByName?: boolean;
  /**
   * Brings the tap of a card that the machine has already into the namespace, under `name`.
   *
   * @returns false if there is none any more: a tap is made then.
   */
  readonly bringTap?: (namespace: NetworkNamespace, name: string) => boolean;
}

/** A link that is joined to a card of the machine. */
export interface AttachedLink {
  readonly device: NetworkDevice;
  /** Whether the link keeps its addresses and routes, so that it can be followed. */
  readonly followed: boolean;
  /** Closes what the machine has copies of by now. */
  closeDescriptors(): void;
  /** Follows the link's MTU, bytes. */
  setMtu(mtu: number): void;
  /** Undoes everything. No error if the link or the namespace is gone. */
  detach(): Promise<void>;
}

/**
 * @param number of the link among the pod's; it is in the names of what is made.
 * @throws KataError; nothing of it is left in the namespace then.
 */
export async function attachLink(
  namespace: NetworkNamespace,
  link: Link,
  number: number,
  options: LinkOptions,
): Promise<AttachedLink> {
  const endpoint = planEndpoint(
    link,
    options.model,
    link.kind === "" ? pciAddressOf(namespace, link.name) : undefined,
  );
  const changes = new NetworkChanges(namespace, options.record);
  const descriptors: FileDescriptor[] = [];
  const own = (opened: readonly FileDescriptor[]): readonly FileDescriptor[] => {
    descriptors.push(...opened);
    changes.owns("descriptors", () => opened.forEach((descriptor) => void descriptor.close()));
    return opened;
  };
  const taps = (opened: readonly FileDescriptor[]): NetworkBackend => ({
    kind: "tap",
    queues: own(opened).map(({ fd }): TapQueue => {
      const vhost = options.vhost ? openVhostNet() : undefined;
      return { tap: fd, ...(vhost === undefined ? {} : { vhost: own([vhost])[0]?.fd ?? -1 }) };
    }),
  });
  const attached = (backend: NetworkBackend, more: Partial<AttachedLink> = {}): AttachedLink => ({
    device: { kind: "network", id: cardId(number), macAddress: link.macAddress, backend },
    followed: true,
    closeDescriptors: () => descriptors.forEach((descriptor) => void descriptor.close()),
    setMtu: () => undefined,
    detach: () => changes.undo(),
    ...more,
  });
  const tapsByName = options.tapsByName === true;
  const limit = (points: LimitPoints) => limitRates(changes, points, options.limits, number);
  try {
    switch (endpoint.kind) {
      case "redirected": {
        const name = tapName(number);
        const brought = options.bringTap?.(namespace, name) ?? false;
        let backend = BROUGHT;
        if (brought) {
          // Others than the machine may still hold it at its end.
          changes.begin({ kind: "made-link", name });
        } else if (tapsByName) {
          await changes.make({ kind: "made-link", name }, () => makeLastingTap(namespace, name));
          backend = namedTap(name);
        } else backend = taps(makeTap(namespace, name, options.queues));
        namespace.bringUp(name, link.mtu);
        const tap = linkByName(namespace.netlink, name);
        await limit({
          received: { link: tap, direction: "leaving" },
          sent: { link, direction: "leaving" },
        });
        await redirect(changes, link, tap);
        await redirect(changes, tap, link);
        return attached(backend, {
          setMtu: (mtu) => setLink(namespace.netlink, tap.index, name, { mtu }),
        });
      }
      case "macvtap-over": {
        if (tapsByName) throw onlyTaps(link.name, "would get a macvtap over it");
        const macvtap = await makeMacvtapOver(changes, link, macvtapName(number));
        const backend = taps(openMacvtap(namespace, macvtap, options.queues));
        await limit(macvtapPoints(macvtap));
        return attached(backend, {
          followed: false,
          setMtu: (mtu) => setLink(namespace.netlink, macvtap.index, macvtap.name, { mtu }),
        });
      }
      case "tap": {
        const facts = link.tun ?? {
          mode: "tap",
          multiQueue: false,
          vnetHeader: false,
          packetInfo: false,
          attached: false,
        };
        if (tapsByName) requireOneQueue(link.name, facts);
        const backend = tapsByName
          ? namedTap(link.name)
          : taps(openExistingTap(namespace, link.name, facts, options.queues));
        await limit({
          received: { link, direction: "leaving" },
          sent: { link, direction: "entering" },
        });
        return attached(backend);
      }
      case "macvtap": {
        if (tapsByName) throw onlyTaps(link.name, "is a macvtap");
        const backend = taps(openMacvtap(namespace, link, options.queues));
        await limit(macvtapPoints(link));
        return attached(backend);
      }
      case "physical": {
        if (tapsByName) throw onlyTaps(link.name, "is a card of the host");
        if (!options.passCards) throw cardsStay(link.name, endpoint.pciAddress);
        const driver = driverOfCard(endpoint.pciAddress);
        await changes.make({ kind: "driver", pciAddress: endpoint.pciAddress, driver }, () =>
          bindToVfio(endpoint.pciAddress),
        );
        return attached({ kind: "vfio", pciAddress: endpoint.pciAddress }, { followed: false });
      }
    }
  } catch (error) {
    await changes.undo();
    throw error;
  }
}

function namedTap(name: string): NetworkBackend {
  return { kind: "tap", queues: [], name };
}

/** A tap of several queues is opened as such or not at all. */
export function requireOneQueue(name: string, { multiQueue }: Pick<TunFacts, "multiQueue">): void {
  if (multiQueue) throw onlyTaps(name, "is a tap of several queues");
}

function onlyTaps(name: string, what: string): KataError {
  return new KataError("unsupported", {
    operation: "connect network",
    object: `link ${name} ${what}`,
    hint: 'this monitor opens taps of one queue by their names: give the pod a veth, or such a tap, and set internetworking_model = "tcfilter"',
  });
}

/** Of a tap that the machine has open already. */
const BROUGHT: NetworkBackend = { kind: "tap", queues: [] };

/** Whether a card is one that the machine had before it was joined to the network. */
export function wasBrought({ backend }: NetworkDevice): boolean {
  return backend.kind === "tap" && backend.queues.length === 0 && backend.name === undefined;
}

/** The guest is behind the character device: what it sends leaves the link, what it receives comes in. */
function macvtapPoints(link: Link): LimitPoints {
  return { received: { link, direction: "entering" }, sent: { link, direction: "leaving" } };
}

/**
 * Makes a macvtap over `link` that takes its hardware address. The link's own IP addresses are taken away: two would answer for
 * them otherwise.
 */
async function makeMacvtapOver(changes: NetworkChanges, link: Link, name: string): Promise<Link> {
  const { netlink } = changes.namespace;
  const saved = saveConfiguration(netlink, link.index, link.name);
  changes.begin(configurationStep(link.index, link.macAddress, saved));
  await changes.make({ kind: "made-link", name }, () => createMacvlan(netlink, name, "macvtap", link.index));
  setLink(netlink, link.index, link.name, { macAddress: randomMacAddress() });
  const macvtap = linkByName(netlink, name);
  setLink(netlink, macvtap.index, name, { macAddress: link.macAddress });
  removeSavedAddresses(netlink, saved, link.name);
  changes.namespace.bringUp(name, link.mtu);
  return macvtap;
}

/** The PCI card that a link is, if it is one. */
function pciAddressOf(namespace: NetworkNamespace, name: string): string | undefined {
  using sysfs = openSysfs(namespace);
  try {
    const device = baseName(readlinkat(sysfs.fd, `class/net/${name}/device`));
    return isPciAddress(device) ? device : undefined;
  } catch (error) {
    // It has no device.
    if (hasErrno(error, "ENOENT", "EINVAL")) return undefined;
    throw error;
  }
}

function cardsStay(name: string, pciAddress: string): KataError {
  return new KataError("unsupported", {
    operation: "connect network",
    object: `link ${name} is the host's PCI card ${pciAddress}`,
    hint: "set cold_plug_vfio in configuration.toml to give it to the pod, which must have it before it starts",
  });
}
