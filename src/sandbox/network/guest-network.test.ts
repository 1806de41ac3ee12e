import { expect, test } from "vitest";
import { guestInterface, guestNeighbours, guestRoutes } from "./guest-network.ts";
import type { Link, Route } from "./namespace-contents.ts";

const ETH0: Link = {
  index: 2,
  name: "eth0",
  kind: "veth",
  loopback: false,
  up: true,
  macAddress: "02:00:00:00:00:02",
  mtu: 1450,
  flags: 1,
};

const ROUTE: Route = {
  family: 4,
  destination: "",
  gateway: "",
  preferredSource: "",
  linkIndex: 2,
  table: 254,
  type: 1,
  protocol: 3,
  scope: 0,
  flags: 0,
  mtu: 0,
  priority: 0,
};

test("guestInterface() has the link's addresses but link-local ones, and no other link's", () => {
  const addresses = [
    { linkIndex: 2, address: "10.0.0.2", prefixLength: 24 },
    { linkIndex: 2, address: "2001:db8::2", prefixLength: 64 },
    { linkIndex: 2, address: "fe80::1", prefixLength: 64 },
    { linkIndex: 1, address: "127.0.0.1", prefixLength: 8 },
  ];
  expect(guestInterface(ETH0, addresses)).toEqual({
    device: "eth0",
    name: "eth0",
    IPAddresses: [
      { family: 0, address: "10.0.0.2", mask: "24" },
      { family: 1, address: "2001:db8::2", mask: "64" },
    ],
    mtu: 1450n,
    hwAddr: "02:00:00:00:00:02",
    rawFlags: 0,
  });
});

test("guestRoutes() keeps all that a route says, its MTU too", () => {
  const route = {
    ...ROUTE,
    gateway: "10.0.0.1",
    preferredSource: "10.0.0.2",
    flags: 4,
    mtu: 1370,
    priority: 100,
  };
  expect(guestRoutes([ETH0], [route])).toEqual([
    {
      dest: "",
      gateway: "10.0.0.1",
      device: "eth0",
      source: "10.0.0.2",
      scope: 0,
      family: 0,
      flags: 4,
      mtu: 1370,
      priority: 100,
    },
  ]);
});

test("guestRoutes() puts a gateway's own route before the one that needs it, and leaves out what the kernel makes", () => {
  const routes: Route[] = [
    { ...ROUTE, gateway: "169.254.1.1" },
    { ...ROUTE, destination: "169.254.1.1/32", scope: 253 },
    { ...ROUTE, destination: "10.0.0.0/24", protocol: 2, scope: 253 },
    { ...ROUTE, destination: "10.0.0.2/32", table: 255, type: 2, protocol: 2 },
    { ...ROUTE, family: 6, destination: "fe80::/64" },
    { ...ROUTE, destination: "10.9.0.0/16", linkIndex: 7 },
  ];
  expect(guestRoutes([ETH0], routes).map(({ dest, gateway, scope }) => [dest, gateway, scope])).toEqual([
    ["169.254.1.1/32", "", 253],
    ["", "169.254.1.1", 0],
  ]);
});

test("guestNeighbours() has those that were set for good", () => {
  const neighbour = {
    linkIndex: 2,
    address: "10.0.0.1",
    macAddress: "02:00:00:00:00:01",
    state: 0x80,
    flags: 0,
  };
  const others = [
    { ...neighbour, state: 0x02 },
    { ...neighbour, macAddress: "" },
    { ...neighbour, linkIndex: 1 },
  ];
  expect(guestNeighbours([ETH0], [...others, neighbour])).toEqual([
    {
      toIPAddress: { family: 0, address: "10.0.0.1", mask: "" },
      device: "eth0",
      lladdr: "02:00:00:00:00:01",
      state: 0x80,
      flags: 0,
    },
  ]);
});
