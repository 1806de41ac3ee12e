/**
 * How a link of a pod's network namespace is joined to the virtual machine, decided from what the link is.
 * Sources: upstream Kata Containers, endpoints of a sandbox; Linux Documentation/networking/{tuntap,ipvlan}.rst, netkit(8).
 */
import { KataError } from "../../kata-error.ts";
import type { Link } from "./namespace-contents.ts";

/** `internetworking_model`, where there is a network at all. */
export type InterworkingModel = "tcfilter" | "macvtap";

export type Endpoint =
  /** A tap beside the link; the kernel passes every packet from one to the other. */
  | { readonly kind: "redirected" }
  /** A macvtap over the link, which takes the link's hardware address. */
  | { readonly kind: "macvtap-over" }
  /** The link is a tap that nobody has open: the machine opens it. */
  | { readonly kind: "tap" }
  /** The link is a macvtap: the machine opens its character device. */
  | { readonly kind: "macvtap" }
  /** The link is a PCI card of the host: the machine gets the card itself. */
  | { readonly kind: "physical"; readonly pciAddress: string };

/** What a macvtap can be made over. An ipvlan cannot, since its packets are told apart by their IP addresses. */
const TAKES_MACVTAP: ReadonlySet<string> = new Set(["veth", "macvlan", "vlan", ""]);

/**
 * Decides for one link.
 *
 * @param pciAddress of the card that the link is, if it is one.
 * @throws KataError `unsupported` for a link that carries no Ethernet frames.
 */
export function planEndpoint(link: Link, model: InterworkingModel, pciAddress: string | undefined): Endpoint {
  const { kind, tun } = link;
  if (tun?.mode === "tun") {
    throw unsupported(link, "is a tun device, which carries IP packets", "make it with mode tap");
  }
  if (!hasEthernetAddress(link)) {
    throw unsupported(
      link,
      "has no Ethernet address",
      kind === "netkit" ? "make it with mode l2" : "give the pod a veth or macvlan link",
    );
  }
  // Another program, such as a user-mode network, is at the other end of a tap that is open.
  if (tun !== undefined) return tun.attached ? { kind: "redirected" } : { kind: "tap" };
  if (kind === "macvtap" || kind === "ipvtap") return { kind: "macvtap" };
  if (kind === "" && pciAddress !== undefined) return { kind: "physical", pciAddress };
  return model === "macvtap" && TAKES_MACVTAP.has(kind) ? { kind: "macvtap-over" } : { kind: "redirected" };
}

function hasEthernetAddress({ macAddress }: Link): boolean {
  // A netkit in layer 3 mode has the address of nobody.
  return /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(macAddress) && macAddress !== "00:00:00:00:00:00";
}

function unsupported(link: Link, what: string, instead: string): KataError {
  return new KataError("unsupported", {
    operation: "connect network",
    object: `link ${link.name} ${what}`,
    hint: `a guest's network card carries Ethernet frames, ${instead}`,
  });
}
