/**
 * Netlink messages: `length u32, type u16, flags u16, sequence u32, port u32, body`, each padded to 4 bytes.
 * Source: netlink(7), linux/netlink.h (struct nlmsghdr, struct nlmsgerr).
 */
import { KataError } from "../../kata-error.ts";
import { AttributeMap, concatenate, type Encoded } from "./attribute.ts";

const HEADER_BYTES = 16;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const NLM_F_REQUEST = 0x01;
export const NLM_F_ACK = 0x04;
/** In an answer: the list changed while it was read. */
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
/** Of a request that makes something: replace it, refuse if it is there, make it if not, at the end of the list. */
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

/** Of an acknowledgement: the request is left out of it; attributes follow. */
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** A view of the bytes that were parsed. */
  readonly body: Uint8Array;
}

/** @param body a structure and its attributes, each padded to 4 bytes. */
export function encodeMessage(
  header: { readonly type: number; readonly flags: number; readonly sequence: number },
  body: readonly Uint8Array[],
): Encoded {
  const message = concatenate([new Uint8Array(HEADER_BYTES), ...body]);
  const view = new DataView(message.buffer);
  view.setUint32(0, message.length, true);
  view.setUint16(4, header.type, true);
  view.setUint16(6, header.flags, true);
  view.setUint32(8, header.sequence, true);
  return message;
}

/**
 * The messages of one datagram.
 *
 * @throws KataError `malformed-message` for a length that does not fit.
 */
export function parseMessages(bytes: Uint8Array): NetlinkMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES || length > bytes.length - at) {
      throw malformed(`length ${length} at ${at} of ${bytes.length} bytes`);
    }
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      body: bytes.subarray(at + HEADER_BYTES, at + length),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

/** What an answer of type `NLMSG_ERROR` or `NLMSG_DONE` says. */
export interface Acknowledgement {
  /** 0, or a negated errno. */
  readonly result: number;
  /** The kernel's explanation, if it gave one. */
  readonly explanation: string | undefined;
}

/** @throws KataError `malformed-message` if it is too short. */
export function parseAcknowledgement(message: NetlinkMessage): Acknowledgement {
  const { body, flags, type } = message;
  if (body.length < 4) {
    // The end of a list carries a result since Linux 4.x only when the list failed.
    if (type === NLMSG_DONE) return { result: 0, explanation: undefined };
    throw malformed(`an acknowledgement of ${body.length} bytes`);
  }
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const result = view.getInt32(0, true);
  if ((flags & NLM_F_ACK_TLVS) === 0) return { result, explanation: undefined };
  // An error repeats the request's header, and its body unless it is capped; the end of a list has neither.
  let at = 4;
  if (type === NLMSG_ERROR) {
    if (body.length < 4 + HEADER_BYTES) throw malformed(`an acknowledgement of ${body.length} bytes`);
    at += (flags & NLM_F_CAPPED) !== 0 ? HEADER_BYTES : (view.getUint32(4, true) + 3) & ~3;
  }
  if (at < 0 || at > body.length) throw malformed("an acknowledgement without its request");
  return { result, explanation: new AttributeMap(body.subarray(at)).text(NLMSGERR_ATTR_MSG) };
}

/** The structure at the beginning of a body, and the attributes behind it. */
export function splitBody(
  message: NetlinkMessage,
  structureBytes: number,
): { readonly fixed: DataView; readonly attributes: AttributeMap } {
  const { body } = message;
  if (body.length < structureBytes) throw malformed(`type ${message.type} with ${body.length} bytes`);
  return {
    fixed: new DataView(body.buffer, body.byteOffset, structureBytes),
    attributes: new AttributeMap(body.subarray((structureBytes + 3) & ~3)),
  };
}

function malformed(object: string): KataError {
  return new KataError("malformed-message", { operation: "parse netlink message", object });
}
