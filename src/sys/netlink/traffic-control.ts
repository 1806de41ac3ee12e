/**
 * Traffic control: taking packets as they come in on one interface and sending them out on another.
 *
 * A queueing discipline of kind `ingress` sees what an interface receives; a filter on it that matches every packet hands them to
 * the action `mirred`, which moves them to the other interface's way out.
 * Sources: rtnetlink(7), tc-mirred(8), tc-matchall(8), tc-u32(8); linux/pkt_sched.h, linux/pkt_cls.h, linux/tc_act/tc_mirred.h.
 */
import { hasErrno } from "../../kata-error.ts";
import {
  attribute,
  type Encoded,
  nestedAttribute,
  structure,
  textAttribute,
  u32Attribute,
} from "./attribute.ts";
import { NLM_F_CREATE, NLM_F_EXCL, splitBody } from "./message.ts";
import type { NetlinkSocket } from "./netlink-socket.ts";

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;

/** struct tcmsg: family u8, padding, index i32, handle u32, parent u32, info u32. */
const TCMSG_BYTES = 20;
const TC_H_INGRESS = 0xffff_fff1;
/** The handle that the kernel gives an ingress discipline. */
const INGRESS_HANDLE = 0xffff_0000;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_MATCHALL_ACT = 2;
const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;

/** struct tc_u32_sel: flags u8, shift u8, number of keys u8, …; then 16 bytes for each key: mask, value, offsets. */
const U32_SELECTOR_BYTES = 16 + 16;
const TC_U32_TERMINAL = 1;
/** struct tc_mirred: index, capabilities, action, two counters, what to do, interface: 32 bits each. */
const MIRRED_BYTES = 28;
/** The packet is the action's from now on. */
const TC_ACT_STOLEN = 4;
const TCA_EGRESS_REDIR = 1;

/** Preference 1, protocol ETH_P_ALL in network byte order. */
const FIRST_FOR_ALL_PROTOCOLS = (1 << 16) | 0x0300;

function header(index: number, handle: number, parent: number, info = 0): Encoded {
  return structure(TCMSG_BYTES, (view) => {
    view.setInt32(4, index, true);
    view.setUint32(8, handle, true);
    view.setUint32(12, parent, true);
    view.setUint32(16, info, true);
  });
}

/**
 * Gives an interface an ingress discipline.
 *
 * @param shown the interface's name, for messages.
 * @throws KataError `system-call` with EEXIST if it has one, or one of kind `clsact`.
 */
export function addIngress(socket: NetlinkSocket, index: number, shown: string): void {
  const names = { operation: "add ingress discipline to", object: shown };
  const body = [header(index, INGRESS_HANDLE, TC_H_INGRESS), textAttribute(TCA_KIND, "ingress")];
  socket.change(names, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, body);
}

/** Takes it away, with its filters. @returns false if there is none. */
export function deleteIngress(socket: NetlinkSocket, index: number, shown: string): boolean {
  const names = { operation: "remove ingress discipline from", object: shown };
  const body = [header(index, INGRESS_HANDLE, TC_H_INGRESS), textAttribute(TCA_KIND, "ingress")];
  try {
    socket.change(names, RTM_DELQDISC, 0, body);
    return true;
  } catch (error) {
    // EINVAL: another kind sits there; ENOENT: none does.
    if (!hasErrno(error, "ENOENT", "EINVAL")) throw error;
    return false;
  }
}

/** Sends every packet that interface `from`, which has an ingress discipline, receives out on interface `to`. */
export function redirectIngress(socket: NetlinkSocket, from: number, to: number, shown: string): void {
  const names = { operation: "redirect packets of", object: shown };
  const add = (kind: string, options: readonly Uint8Array[]): void => {
    const body = [
      header(from, 0, INGRESS_HANDLE, FIRST_FOR_ALL_PROTOCOLS),
      textAttribute(TCA_KIND, kind),
      nestedAttribute(TCA_OPTIONS, options),
    ];
    socket.change(names, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, body);
  };
  try {
    add("matchall", [nestedAttribute(TCA_MATCHALL_ACT, [redirection(to)])]);
  } catch (error) {
    // A kernel without this classifier has the older one.
    if (!hasErrno(error, "ENOENT")) throw error;
    add("u32", [attribute(TCA_U32_SEL, matchAnything()), nestedAttribute(TCA_U32_ACT, [redirection(to)])]);
  }
}

/** The first and only action of a filter. */
function redirection(to: number): Encoded {
  const parameters = structure(MIRRED_BYTES, (view) => {
    view.setInt32(8, TC_ACT_STOLEN, true);
    view.setInt32(20, TCA_EGRESS_REDIR, true);
    view.setUint32(24, to, true);
  });
  return nestedAttribute(1, [
    textAttribute(TCA_ACT_KIND, "mirred"),
    nestedAttribute(TCA_ACT_OPTIONS, [attribute(TCA_MIRRED_PARMS, parameters)]),
  ]);
}

/** One key with an empty mask. */
function matchAnything(): Encoded {
  return structure(U32_SELECTOR_BYTES, (view) => {
    view.setUint8(0, TC_U32_TERMINAL);
    view.setUint8(2, 1);
  });
}

export interface QueueingDiscipline {
  readonly linkIndex: number;
  readonly kind: string;
}

const TC_H_ROOT = 0xffff_ffff;
/** Handle 1:0 of a discipline of ours. */
const ROOT_HANDLE = 0x1_0000;

const TCA_TBF_PARMS = 1;
const TCA_TBF_RATE64 = 4;
const TCA_TBF_BURST = 6;
/**
 * struct tc_tbf_qopt: rate and peak rate of 12 bytes each (cell log u8, link layer u8, overhead u16, alignment s16, smallest
 * packet u16, rate u32), then limit, buffer, mtu u32.
 */
const TBF_BYTES = 36;
const TC_LINKLAYER_ETHERNET = 1;
/** The queue holds what is sent in this time; what comes then is dropped, as a full link would. ms. */
const TBF_LATENCY_MS = 100;
/** What may be sent at once, however low the rate is: some packets of the largest size, bytes. */
const TBF_MIN_BURST_BYTES = 32 << 10;
/** What may be sent at once at a high rate, in ms of it: the kernel's clock for waiting packets is not finer. */
const TBF_BURST_MS = 10;
const MAX_U32 = 0xffff_ffff;

/**
 * Limits what an interface sends, by a token bucket.
 *
 * @param bytesPerSecond at least 1.
 * @throws KataError `system-call` with EEXIST if somebody has given the interface a discipline, with ENOENT if the kernel has no
 * token bucket.
 */
export function limitEgress(
  socket: NetlinkSocket,
  index: number,
  bytesPerSecond: number,
  shown: string,
): void {
  const burst = Math.min(Math.max(TBF_MIN_BURST_BYTES, (bytesPerSecond * TBF_BURST_MS) / 1000), MAX_U32);
  const limit = Math.min(burst + (bytesPerSecond * TBF_LATENCY_MS) / 1000, MAX_U32);
  const parameters = structure(TBF_BYTES, (view) => {
    view.setUint8(1, TC_LINKLAYER_ETHERNET);
    view.setUint32(8, Math.min(bytesPerSecond, MAX_U32), true);
    view.setUint32(24, limit, true);
  });
  const options = [attribute(TCA_TBF_PARMS, parameters), u32Attribute(TCA_TBF_BURST, burst)];
  // The rate of the structure ends at 34 Gbit/s.
  if (bytesPerSecond > MAX_U32) {
    options.push(
      attribute(
        TCA_TBF_RATE64,
        structure(8, (view) => view.setBigUint64(0, BigInt(Math.floor(bytesPerSecond)), true)),
      ),
    );
  }
  const body = [
    header(index, ROOT_HANDLE, TC_H_ROOT),
    textAttribute(TCA_KIND, "tbf"),
    nestedAttribute(TCA_OPTIONS, options, false),
  ];
  const names = { operation: "limit rate of", object: shown };
  socket.change(names, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, body);
}

/** Takes back {@link limitEgress}. @returns false if there is nothing to take back. */
export function stopLimitingEgress(socket: NetlinkSocket, index: number, shown: string): boolean {
  const names = { operation: "lift rate limit of", object: shown };
  const body = [header(index, ROOT_HANDLE, TC_H_ROOT), textAttribute(TCA_KIND, "tbf")];
  try {
    socket.change(names, RTM_DELQDISC, 0, body);
    return true;
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "EINVAL")) throw error;
    return false;
  }
}

/** All disciplines of the socket's namespace. */
export function listDisciplines(socket: NetlinkSocket): QueueingDiscipline[] {
  const names = { operation: "list", object: "queueing disciplines" };
  return socket.list(names, RTM_GETQDISC, [header(0, 0, 0)], (message): QueueingDiscipline | undefined => {
    if (message.type !== RTM_NEWQDISC) return undefined;
    const { fixed, attributes } = splitBody(message, TCMSG_BYTES);
    return { linkIndex: fixed.getInt32(4, true), kind: attributes.text(TCA_KIND) ?? "" };
  });
}
