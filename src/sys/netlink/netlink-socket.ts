/**
 * Requests to the kernel over netlink.
 *
 * The kernel works a request off inside of the send, so its answer is there at once and nothing here waits in the event loop;
 * a receive timeout bounds what a fault of the kernel would cost.
 * Sources: netlink(7), rtnetlink(7).
 */
import { KataError } from "../../kata-error.ts";
import { FileDescriptor } from "../descriptor.ts";
import { EAGAIN, EINTR } from "../errno.ts";
import { check, kernel, systemCallError } from "../kernel.ts";
import { inNamespace } from "../namespaces.ts";
import { CLONE_NEWNET } from "../process.ts";
import {
  encodeMessage,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseAcknowledgement,
  parseMessages,
} from "./message.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const MSG_TRUNC = 0x20;

export const NETLINK_ROUTE = 0;

/** Seconds; see the head of this file. */
const RECEIVE_TIMEOUT_S = 10n;
/** Longest datagram, bytes: the kernel fills at most 32 KiB when it lists. */
const RECEIVE_BYTES = 32 << 10;
/** Most entries of a list: more routes or links than any pod has. */
const MAX_DUMP_MESSAGES = 65_536;
/** A list that changes while it is read is read again, this often. */
const MAX_DUMP_ATTEMPTS = 10;

/** What a request does and to what, for messages. */
export interface RequestNames {
  readonly operation: string;
  readonly object: string;
}

export class NetlinkSocket implements Disposable {
  readonly #socket: FileDescriptor;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  #sequence = 0;

  private constructor(socket: FileDescriptor) {
    this.#socket = socket;
  }

  /**
   * Opens a socket; it stays with the network namespace that it is opened in.
   *
   * @param namespace a network namespace's descriptor; this process's own without it.
   */
  static open(namespace?: number, protocol = NETLINK_ROUTE): NetlinkSocket {
    if (namespace !== undefined)
      return inNamespace(namespace, CLONE_NEWNET, () => NetlinkSocket.open(undefined, protocol));
    const fd = kernel().syscall("socket", AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    const socket = new FileDescriptor(check(fd, "make socket for", "netlink"));
    try {
      const option = (level: number, name: number, value: ArrayBufferView) =>
        kernel().syscall("setsockopt", socket.fd, level, name, value, value.byteLength);
      const timeout = new BigInt64Array([RECEIVE_TIMEOUT_S, 0n]);
      check(option(SOL_SOCKET, SO_RCVTIMEO, timeout), "set time limit of", "netlink");
      // Both make failures easier to read; an old kernel without them answers all the same.
      option(SOL_NETLINK, NETLINK_CAP_ACK, new Uint32Array([1]));
      option(SOL_NETLINK, NETLINK_EXT_ACK, new Uint32Array([1]));
      return new NetlinkSocket(socket);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /**
   * A request that changes something.
   *
   * @param flags `NLM_F_CREATE` and the like.
   * @param body a structure and its attributes.
   * @throws KataError `system-call` with the kernel's errno and, where it has one, its explanation.
   */
  change(names: RequestNames, type: number, flags: number, body: readonly Uint8Array[]): void {
    const sequence = this.#send(names, type, flags | NLM_F_ACK, body);
    for (;;) {
      for (const message of this.#receive(names)) {
        if (message.sequence !== sequence || message.type !== NLMSG_ERROR) continue;
        refuse(names, message);
        return;
      }
    }
  }

  /** A request for one thing. @throws KataError `system-call`, with ENODEV or ENOENT if there is none. */
  get(names: RequestNames, type: number, body: readonly Uint8Array[]): NetlinkMessage {
    const sequence = this.#send(names, type, 0, body);
    for (;;) {
      for (const message of this.#receive(names)) {
        if (message.sequence !== sequence) continue;
        if (message.type === NLMSG_ERROR) refuse(names, message);
        // The buffer is the next answer's.
        return { ...message, body: message.body.slice() };
      }
    }
  }

  /** A request for a list: calls `each` for every entry, whose body is valid only during the call. */
  list<T>(
    names: RequestNames,
    type: number,
    body: readonly Uint8Array[],
    each: (message: NetlinkMessage) => T | undefined,
  ): T[] {
    for (let attempt = 0; attempt < MAX_DUMP_ATTEMPTS; attempt++) {
      const entries = this.#listOnce(names, type, body, each);
      if (entries !== undefined) return entries;
    }
    throw new KataError("busy", { ...names, hint: "the list changes faster than it can be read" });
  }

  #listOnce<T>(
    names: RequestNames,
    type: number,
    body: readonly Uint8Array[],
    each: (message: NetlinkMessage) => T | undefined,
  ): T[] | undefined {
    const sequence = this.#send(names, type, NLM_F_DUMP, body);
    const entries: T[] = [];
    let count = 0;
    let changed = false;
    for (;;) {
      for (const message of this.#receive(names)) {
        if (message.sequence !== sequence) continue;
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) changed = true;
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
          refuse(names, message);
          return changed ? undefined : entries;
        }
        if (++count > MAX_DUMP_MESSAGES) {
          throw new KataError("resource-exhausted", {
            ...names,
            hint: `the list has more than ${MAX_DUMP_MESSAGES} entries`,
          });
        }
        const entry = each(message);
        if (entry !== undefined) entries.push(entry);
      }
    }
  }

  #send(names: RequestNames, type: number, flags: number, body: readonly Uint8Array[]): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    const header = { type, flags: flags | NLM_F_REQUEST, sequence: this.#sequence };
    const message = encodeMessage(header, body);
    for (;;) {
      const fd = this.#socket.fd;
      const sent = kernel().syscall("sendto", fd, message, message.length, 0, null, 0);
      if (sent === -EINTR) continue;
      check(sent, names.operation, names.object);
      return this.#sequence;
    }
  }

  #receive(names: RequestNames): NetlinkMessage[] {
    const sender = new Uint32Array(3);
    for (;;) {
      const size = new Uint32Array([12]);
      const buffer = this.#buffer;
      const fd = this.#socket.fd;
      const length = kernel().syscall("recvfrom", fd, buffer, buffer.length, MSG_TRUNC, sender, size);
      if (length === -EINTR) continue;
      if (length === -EAGAIN) {
        throw new KataError("deadline-exceeded", {
          ...names,
          hint: `the kernel has not answered in ${RECEIVE_TIMEOUT_S} s`,
        });
      }
      check(length, names.operation, names.object);
      // struct sockaddr_nl: family u16, padding u16, port u32, groups u32. Only the kernel is port 0.
      if (sender[1] !== 0) continue;
      if (length > buffer.length) {
        throw new KataError("oversized-message", { ...names, hint: `an answer has ${length} bytes` });
      }
      return parseMessages(buffer.subarray(0, length));
    }
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** @throws KataError `system-call` if `message` tells of a failure. */
function refuse(names: RequestNames, message: NetlinkMessage): void {
  const { result, explanation } = parseAcknowledgement(message);
  if (result < 0) throw systemCallError(result, names.operation, names.object, explanation);
}
