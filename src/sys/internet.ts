/** Connections over IP: TCP streams, and single questions over UDP. Sources: ip(7), ipv6(7), tcp(7), udp(7). */
import { KataError } from "../kata-error.ts";
import { type CancelSignal, CancelSource } from "./cancellation.ts";
import { FileDescriptor } from "./descriptor.ts";
import { EAGAIN, EINPROGRESS } from "./errno.ts";
import { loop } from "./event-loop.ts";
import { FdStream } from "./fd-stream.ts";
import { check, kernel, systemCallError } from "./kernel.ts";
import { AF_INET, AF_INET6, formatIpAddress } from "./netlink/ip-address.ts";

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
/** What UDP carries at most in the packets that every network takes. */
const MAX_DATAGRAM_BYTES = 4096;

/** `struct sockaddr_in` or `sockaddr_in6`, by the address's length. */
function encodeAddress(address: Uint8Array, port: number): Uint8Array {
  const isV6 = address.length === 16;
  const bytes = new Uint8Array(isV6 ? 28 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, isV6 ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port);
  bytes.set(address, isV6 ? 8 : 4);
  return bytes;
}

function newSocket(address: Uint8Array, type: number): FileDescriptor {
  const family = address.length === 16 ? AF_INET6 : AF_INET;
  const fd = kernel().syscall("socket", family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return new FileDescriptor(check(fd, "make socket for", formatIpAddress(address)));
}

/** Connects to a TCP port. @param address 4 or 16 bytes. @throws KataError `system-call`, or the signal's reason. */
export async function connectTcp(
  address: Uint8Array,
  port: number,
  signal?: CancelSignal,
): Promise<FdStream> {
  const shown = `${formatIpAddress(address)} port ${port}`;
  const socket = newSocket(address, SOCK_STREAM);
  try {
    const encoded = encodeAddress(address, port);
    const result = kernel().syscall("connect", socket.fd, encoded, encoded.length);
    if (result !== -EINPROGRESS) {
      check(result, "connect to", shown);
      return new FdStream(socket);
    }
    await loop.writable(socket.fd, signal);
    const error = new Int32Array(1);
    const length = new Uint32Array([4]);
    check(
      kernel().syscall("getsockopt", socket.fd, SOL_SOCKET, SO_ERROR, error, length),
      "connect to",
      shown,
    );
    if (error[0] !== 0) throw systemCallError(-(error[0] ?? 0), "connect to", shown);
    return new FdStream(socket);
  } catch (error) {
    loop.forget(socket.fd);
    socket.close();
    throw error;
  }
}

/**
 * Sends one datagram and waits for the first from there that `isAnswer` takes.
 *
 * @throws KataError `deadline-exceeded` if none comes within `timeoutMs`.
 */
export async function askOverUdp(
  address: Uint8Array,
  port: number,
  question: Uint8Array,
  isAnswer: (datagram: Uint8Array) => boolean,
  timeoutMs: number,
): Promise<Uint8Array> {
  const shown = `${formatIpAddress(address)} port ${port}`;
  using socket = newSocket(address, SOCK_DGRAM);
  const giveUp = new CancelSource();
  const timer = loop.after(timeoutMs, () =>
    giveUp.cancel(
      new KataError("deadline-exceeded", {
        operation: "ask",
        object: shown,
        hint: `no answer within ${timeoutMs} ms`,
      }),
    ),
  );
  try {
    const encoded = encodeAddress(address, port);
    // A connected socket gets nothing from anybody else.
    check(kernel().syscall("connect", socket.fd, encoded, encoded.length), "connect to", shown);
    check(kernel().syscall("write", socket.fd, question, question.length), "ask", shown);
    const datagram = new Uint8Array(MAX_DATAGRAM_BYTES);
    for (;;) {
      const count = kernel().syscall("read", socket.fd, datagram, datagram.length);
      if (count === -EAGAIN) await loop.readable(socket.fd, giveUp.signal);
      else if (isAnswer(datagram.subarray(0, check(count, "ask", shown)))) return datagram.slice(0, count);
    }
  } finally {
    timer.cancel();
    loop.forget(socket.fd);
  }
}
