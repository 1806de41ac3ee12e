import { describe, expect, test } from "vitest";
import type { TunFacts } from "../../sys/netlink/links.ts";
import { type Endpoint, type InterworkingModel, planEndpoint } from "./endpoint.ts";
import type { Link } from "./namespace-contents.ts";

function link(kind: string, more: Partial<Link> = {}): Link {
  return {
    index: 2,
    name: "eth0",
    kind,
    loopback: false,
    up: true,
    macAddress: "02:00:00:00:00:02",
    mtu: 1500,
    flags: 1,
    ...more,
  };
}

const TAP: TunFacts = {
  mode: "tap",
  multiQueue: false,
  vnetHeader: true,
  packetInfo: false,
  attached: false,
};
const PCI = "0000:01:00.0";
const REDIRECTED: Endpoint = { kind: "redirected" };
const MACVTAP_OVER: Endpoint = { kind: "macvtap-over" };

describe("planEndpoint()", () => {
  const cases: readonly [
    what: string,
    link: Link,
    pci: string | undefined,
    byTc: Endpoint,
    byMacvtap: Endpoint,
  ][] = [
    ["a veth", link("veth"), undefined, REDIRECTED, MACVTAP_OVER],
    ["a macvlan", link("macvlan"), undefined, REDIRECTED, MACVTAP_OVER],
    ["a VLAN", link("vlan"), undefined, REDIRECTED, MACVTAP_OVER],
    ["a device of no kind", link(""), undefined, REDIRECTED, MACVTAP_OVER],
    // Its packets are told apart by IP address: a second hardware address would get none.
    ["an ipvlan", link("ipvlan"), undefined, REDIRECTED, REDIRECTED],
    ["a netkit in layer 2 mode", link("netkit"), undefined, REDIRECTED, REDIRECTED],
    ["a bridge", link("bridge"), undefined, REDIRECTED, REDIRECTED],
    ["a tap that nobody has open", link("tun", { tun: TAP }), undefined, { kind: "tap" }, { kind: "tap" }],
    [
      "a tap that a program has open",
      link("tun", { tun: { ...TAP, attached: true } }),
      undefined,
      REDIRECTED,
      REDIRECTED,
    ],
    ["a macvtap", link("macvtap"), undefined, { kind: "macvtap" }, { kind: "macvtap" }],
    ["an ipvtap", link("ipvtap"), undefined, { kind: "macvtap" }, { kind: "macvtap" }],
    [
      "a PCI card of the host",
      link(""),
      PCI,
      { kind: "physical", pciAddress: PCI },
      { kind: "physical", pciAddress: PCI },
    ],
    // The card below belongs to whoever made the link over it.
    ["a macvlan over a PCI card", link("macvlan"), PCI, REDIRECTED, MACVTAP_OVER],
  ];

  test.each(cases)("joins %s by each model", (_what, given, pci, byTc, byMacvtap) => {
    const plan = (model: InterworkingModel) => planEndpoint(given, model, pci);
    expect([plan("tcfilter"), plan("macvtap")]).toEqual([byTc, byMacvtap]);
  });

  test.each([
    [
      "a tun device",
      link("tun", { tun: { ...TAP, mode: "tun" }, macAddress: "" }),
      "is a tun device",
      "mode tap",
    ],
    ["a wireguard link", link("wireguard", { macAddress: "" }), "has no Ethernet address", "veth or macvlan"],
    [
      "an IPv4 tunnel",
      link("ipip", { macAddress: "c0:00:02:01" }),
      "has no Ethernet address",
      "veth or macvlan",
    ],
    [
      "a netkit in layer 3 mode",
      link("netkit", { macAddress: "00:00:00:00:00:00" }),
      "has no Ethernet address",
      "mode l2",
    ],
  ])("refuses %s", (_what, given, object, hint) => {
    expect(() => planEndpoint(given, "tcfilter", undefined)).toThrow(
      expect.objectContaining({
        code: "unsupported",
        object: expect.stringContaining(`link eth0 ${object}`),
        hint: expect.stringContaining(hint),
      }),
    );
  });
});
