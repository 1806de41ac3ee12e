/**
 * What joining a network changes outside of this process, as data: the same description undoes it at the end of the sandbox and,
 * read from the crash record, after a shim that was killed.
 *
 * A step is recorded before it is made, and undoing one that was not made, or whose link is gone, does nothing.
 */
import { hasErrno } from "../../kata-error.ts";
import {
  removeOthersOfLink,
  restoreConfiguration,
  type SavedSetting,
} from "../../sys/netlink/link-configuration.ts";
import { deleteLink, linkByName, listLinks, setLink } from "../../sys/netlink/links.ts";
import type { NetlinkSocket } from "../../sys/netlink/netlink-socket.ts";
import { deleteIngress, stopLimitingEgress } from "../../sys/netlink/traffic-control.ts";
import { isOwnLink } from "./card-names.ts";
import { giveBackDriver } from "./vfio-binding.ts";

export type NetworkStep =
  /** An ingress discipline of the link with this index. */
  | { readonly kind: "ingress"; readonly link: number }
  /** A limit on what the link sends. */
  | { readonly kind: "egress-limit"; readonly link: number }
  /** A link that we made. */
  | { readonly kind: "made-link"; readonly name: string }
  /** A link whose hardware address and configuration were taken away. Messages are hexadecimal. */
  | {
      readonly kind: "configuration";
      readonly link: number;
      readonly macAddress: string;
      readonly addresses: readonly string[];
      readonly routes: readonly string[];
    }
  /** A PCI card that was bound to vfio-pci. */
  | { readonly kind: "driver"; readonly pciAddress: string; readonly driver: string };

/** Keeps steps where a clean-up after a crash finds them. */
export interface NetworkRecord {
  add(step: NetworkStep): void;
  remove(step: NetworkStep): void;
}

/**
 * Undoes one step.
 *
 * @param socket in the network namespace; undefined if that is gone, with all that was in it.
 * @throws KataError if it is there and cannot be undone.
 */
export function undoNetworkStep(socket: NetlinkSocket | undefined, step: NetworkStep): void {
  if (step.kind === "driver") giveBackDriver(step.pciAddress, step.driver);
  else if (socket !== undefined) undoInNamespace(socket, step);
}

function undoInNamespace(socket: NetlinkSocket, step: Exclude<NetworkStep, { kind: "driver" }>): void {
  switch (step.kind) {
    case "ingress":
      ifItIsThere(() => deleteIngress(socket, step.link, `link ${step.link}`));
      return;
    case "egress-limit":
      ifItIsThere(() => stopLimitingEgress(socket, step.link, `link ${step.link}`));
      return;
    case "made-link":
      ifItIsThere(() => deleteLink(socket, linkByName(socket, step.name).index, step.name));
      return;
    case "configuration": {
      const link = listLinks(socket).find(({ index }) => index === step.link);
      if (link === undefined) return;
      const saved = savedSettings(step);
      removeOthersOfLink(socket, link.index, saved);
      if (link.macAddress !== step.macAddress) {
        setLink(socket, link.index, link.name, { macAddress: step.macAddress });
      }
      restoreConfiguration(socket, saved, link.name);
      return;
    }
  }
}

function ifItIsThere(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!hasErrno(error, "ENODEV")) throw error;
  }
}

/** The step that gives `saved` back. */
export function configurationStep(
  link: number,
  macAddress: string,
  saved: readonly SavedSetting[],
): NetworkStep {
  const of = (wanted: SavedSetting["what"]) =>
    saved.filter(({ what }) => what === wanted).map(({ message }) => toHex(message));
  return { kind: "configuration", link, macAddress, addresses: of("address"), routes: of("route") };
}

function savedSettings(step: Extract<NetworkStep, { kind: "configuration" }>): SavedSetting[] {
  return [
    ...step.addresses.map((text): SavedSetting => ({ what: "address", message: fromHex(text) })),
    ...step.routes.map((text): SavedSetting => ({ what: "route", message: fromHex(text) })),
  ];
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromHex(text: string): Uint8Array {
  return new Uint8Array((text.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)));
}

/** Most steps, and longest message in hexadecimal digits, that are taken from a file. */
const MAX_STEPS = 256;
const MAX_MESSAGES = 4096;
const MAX_HEX_DIGITS = 8192;

/** The steps in `value`, which comes from a file; what is none is left out. */
export function parseNetworkSteps(value: unknown): NetworkStep[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, MAX_STEPS).flatMap((item) => {
    const step = typeof item === "object" && item !== null ? parseStep(item) : undefined;
    return step === undefined ? [] : [step];
  });
}

function parseStep(item: Readonly<Record<string, unknown>>): NetworkStep | undefined {
  const { kind, link, name, macAddress, addresses, routes, pciAddress, driver } = item;
  switch (kind) {
    case "ingress":
    case "egress-limit":
      return isIndex(link) ? { kind, link } : undefined;
    case "made-link":
      // Only names that we give: nobody else's link is deleted.
      return typeof name === "string" && isOwnLink(name) ? { kind, name } : undefined;
    case "configuration":
      return isIndex(link) && isText(macAddress, MAC_ADDRESS) && isHexList(addresses) && isHexList(routes)
        ? { kind, link, macAddress, addresses, routes }
        : undefined;
    case "driver":
      return isText(pciAddress, PCI_ADDRESS) && isText(driver, DRIVER_NAME)
        ? { kind, pciAddress, driver }
        : undefined;
    default:
      return undefined;
  }
}

const MAC_ADDRESS = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;
const PCI_ADDRESS = /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;
const DRIVER_NAME = /^[\w-]{1,64}$/;

function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0;
}

function isText(value: unknown, pattern: RegExp): value is string {
  return typeof value === "string" && pattern.test(value);
}

function isHexList(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.length <= MAX_MESSAGES &&
    value.every((text) => isText(text, /^([0-9a-f]{2})+$/) && String(text).length <= MAX_HEX_DIGITS)
  );
}
