/**
 * Sockets: UNIX (paths, abstract names, pairs, passing of descriptors) and vsock.
 * Sources: socket(2), unix(7), vsock(7), cmsg(3).
 */
import { KataError } from "../kata-error.ts";
import type { CancelSignal } from "./cancellation.ts";
import { FileDescriptor } from "./descriptor.ts";
import { EAGAIN, EINPROGRESS, EINTR } from "./errno.ts";
import { loop } from "./event-loop.ts";
import { FdStream } from "./fd-stream.ts";
import { check, kernel, systemCallError } from "./kernel.ts";
import { utf8Encode } from "./utf8.ts";

const AF_UNIX = 1;
const AF_VSOCK = 40;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_PEERCRED = 17;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const BACKLOG = 128;

/** Largest path of a UNIX socket, bytes: `sun_path` less its NUL. */
export const MAX_SOCKET_PATH_BYTES = 107;

export const VMADDR_CID_ANY = 0xffff_ffff;
export const VMADDR_CID_HOST = 2;

export type SocketAddress =
  | { readonly kind: "unix"; readonly path: string }
  /** A name that is no file; without its leading NUL. */
  | { readonly kind: "abstract"; readonly name: string }
  | { readonly kind: "vsock"; readonly cid: number; readonly port: number };

/** How an address is shown in messages. */
export function showAddress(address: SocketAddress): string {
  if (address.kind === "vsock") return `vsock://${address.cid}:${address.port}`;
  return address.kind === "unix" ? `unix://${address.path}` : `unix-abstract:${address.name}`;
}

function encodeAddress(address: SocketAddress): Uint8Array {
  if (address.kind === "vsock") {
    // struct sockaddr_vm: family u16, reserved u16, port u32, cid u32, zero.
    const view = new DataView(new ArrayBuffer(16));
    view.setUint16(0, AF_VSOCK, true);
    view.setUint32(4, address.port, true);
    view.setUint32(8, address.cid, true);
    return new Uint8Array(view.buffer);
  }
  const name = utf8Encode(address.kind === "unix" ? address.path : address.name);
  if (name.length === 0 || name.length > MAX_SOCKET_PATH_BYTES || name.includes(0)) {
    throw new KataError("invalid-argument", {
      operation: "use socket address",
      object: showAddress(address),
      hint: `a socket path has 1 to ${MAX_SOCKET_PATH_BYTES} bytes; choose a shorter directory`,
    });
  }
  const bytes = new Uint8Array(name.length + 3);
  bytes[0] = AF_UNIX;
  bytes.set(name, address.kind === "unix" ? 2 : 3);
  return bytes;
}

function newSocket(address: SocketAddress, type = SOCK_STREAM): FileDescriptor {
  const family = address.kind === "vsock" ? AF_VSOCK : AF_UNIX;
  const fd = kernel().syscall("socket", family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return new FileDescriptor(check(fd, "make socket for", showAddress(address)));
}

/** Listens at `address`. A UNIX socket's file must not exist; it stays after the socket is closed. */
export function listen(address: SocketAddress): FileDescriptor {
  const encoded = encodeAddress(address);
  const socket = newSocket(address);
  try {
    const shown = showAddress(address);
    check(kernel().syscall("bind", socket.fd, encoded, encoded.length), "listen at", shown);
    check(kernel().syscall("listen", socket.fd, BACKLOG), "listen at", shown);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** The next connection of a listening socket. */
export async function accept(socket: FileDescriptor, signal?: CancelSignal): Promise<FdStream> {
  for (;;) {
    const fd = kernel().syscall("accept4", socket.fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) return new FdStream(new FileDescriptor(fd));
    // ECONNABORTED (103): that client gave up; the next one may be there.
    if (fd === -EAGAIN) await loop.readable(socket.fd, signal);
    else if (fd !== -EINTR && fd !== -103) throw systemCallError(fd, "accept connection", socket.fd);
  }
}

/** Connects to `address`. @throws KataError `system-call` with ENOENT or ECONNREFUSED if nobody listens. */
export async function connect(address: SocketAddress, signal?: CancelSignal): Promise<FdStream> {
  const encoded = encodeAddress(address);
  const socket = newSocket(address);
  try {
    const shown = showAddress(address);
    const result = kernel().syscall("connect", socket.fd, encoded, encoded.length);
    if (result === -EINPROGRESS) {
      await loop.writable(socket.fd, signal);
      const error = new Int32Array(1);
      const length = new Uint32Array([4]);
      check(
        kernel().syscall("getsockopt", socket.fd, SOL_SOCKET, SO_ERROR, error, length),
        "connect to",
        shown,
      );
      if (error[0] !== 0) throw systemCallError(-(error[0] ?? 0), "connect to", shown);
    } else {
      check(result, "connect to", shown);
    }
    return new FdStream(socket);
  } catch (error) {
    loop.forget(socket.fd);
    socket.close();
    throw error;
  }
}

/** A socket whose every write is a message to `address`. @throws KataError `system-call` with ENOENT or ECONNREFUSED if nobody listens. */
export function connectDatagrams(address: SocketAddress): FdStream {
  const encoded = encodeAddress(address);
  const socket = newSocket(address, SOCK_DGRAM);
  try {
    const result = kernel().syscall("connect", socket.fd, encoded, encoded.length);
    check(result, "connect to", showAddress(address));
    return new FdStream(socket);
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** A socket that gets the messages sent to `address`, one a read. A UNIX socket's file must not exist; it stays. */
export function bindDatagrams(address: SocketAddress): FdStream {
  const encoded = encodeAddress(address);
  const socket = newSocket(address, SOCK_DGRAM);
  try {
    check(kernel().syscall("bind", socket.fd, encoded, encoded.length), "listen at", showAddress(address));
    return new FdStream(socket);
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Two connected UNIX stream sockets, blocking until a stream is made of them. */
export function socketPair(): { readonly ours: FileDescriptor; readonly theirs: FileDescriptor } {
  const ends = new Int32Array(2);
  check(
    kernel().syscall("socketpair", AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
    "make socket pair",
    "unix",
  );
  return { ours: new FileDescriptor(ends[0] ?? -1), theirs: new FileDescriptor(ends[1] ?? -1) };
}

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Who is at the other end of a UNIX socket, as the kernel saw it at connect(2). */
export function peerCredentials(fd: number): PeerCredentials {
  const words = new Uint32Array(3);
  const length = new Uint32Array([12]);
  check(kernel().syscall("getsockopt", fd, SOL_SOCKET, SO_PEERCRED, words, length), "read peer of", fd);
  return { pid: words[0] ?? 0, uid: words[1] ?? 0, gid: words[2] ?? 0 };
}

/** Ends the sending side: the peer reads the end of the stream. */
export function shutdownWrite(fd: number): void {
  check(kernel().syscall("shutdown", fd, 1), "end sending on", fd);
}

/** Most descriptors in one message (the kernel's SCM_MAX_FD). */
const MAX_DESCRIPTORS = 253;

interface MessageHeader {
  /** struct msghdr, which points into the other buffers. */
  readonly header: BigUint64Array;
  readonly control: Uint8Array;
  readonly keep: readonly unknown[];
}

function messageHeader(data: Uint8Array, control: Uint8Array): MessageHeader {
  const k = kernel();
  const vector = new BigUint64Array([BigInt(k.addressOf(data)), BigInt(data.length)]);
  // name, name length, iov, iov count, control, control length, flags: 8 bytes each with their padding.
  const header = new BigUint64Array(7);
  header[2] = BigInt(k.addressOf(vector));
  header[3] = 1n;
  if (control.length > 0) {
    header[4] = BigInt(k.addressOf(control));
    header[5] = BigInt(control.length);
  }
  return { header, control, keep: [data, vector] };
}

/** Sends `data` (at least one byte) together with copies of `descriptors`. */
export async function sendWithDescriptors(
  stream: FdStream,
  data: Uint8Array,
  descriptors: readonly number[],
): Promise<void> {
  if (data.length === 0 || descriptors.length > MAX_DESCRIPTORS) {
    throw new KataError("invalid-argument", {
      operation: "send descriptors",
      object: `${descriptors.length} with ${data.length} bytes`,
    });
  }
  // struct cmsghdr: length u64, level u32, type u32; then the numbers, padded to 8 bytes.
  const control = new Uint8Array(16 + ((descriptors.length * 4 + 7) & ~7));
  const view = new DataView(control.buffer);
  view.setUint32(0, 16 + descriptors.length * 4, true);
  view.setUint32(8, SOL_SOCKET, true);
  view.setUint32(12, SCM_RIGHTS, true);
  for (const [index, fd] of descriptors.entries()) view.setInt32(16 + index * 4, fd, true);
  const message = messageHeader(data, control);
  for (;;) {
    const count = kernel().syscall("sendmsg", stream.fd, message.header, MSG_NOSIGNAL);
    if (count === -EAGAIN) await loop.writable(stream.fd);
    else if (count !== -EINTR) {
      check(count, "send descriptors on", stream.fd);
      // The descriptors went with the first byte; the rest is plain data.
      if (count < data.length) await stream.write(data.subarray(count));
      return;
    }
  }
}

/** The next bytes of `stream` and what descriptors came with them; the caller closes those. */
export async function receiveWithDescriptors(
  stream: FdStream,
  into: Uint8Array,
): Promise<{ readonly count: number; readonly descriptors: readonly FileDescriptor[] }> {
  const control = new Uint8Array(16 + MAX_DESCRIPTORS * 4 + 4);
  for (;;) {
    const message = messageHeader(into, control);
    const count = kernel().syscall("recvmsg", stream.fd, message.header, MSG_CMSG_CLOEXEC);
    if (count === -EAGAIN) await loop.readable(stream.fd);
    else if (count !== -EINTR) {
      check(count, "receive on", stream.fd);
      return { count, descriptors: parseRights(message.control, Number(message.header[5])) };
    }
  }
}

function parseRights(control: Uint8Array, length: number): FileDescriptor[] {
  const view = new DataView(control.buffer, control.byteOffset, control.length);
  const descriptors: FileDescriptor[] = [];
  for (let at = 0; at + 16 <= length; ) {
    const size = view.getUint32(at, true);
    if (size < 16 || at + size > length) break;
    if (view.getUint32(at + 8, true) === SOL_SOCKET && view.getUint32(at + 12, true) === SCM_RIGHTS) {
      for (let fd = at + 16; fd + 4 <= at + size; fd += 4) {
        descriptors.push(new FileDescriptor(view.getInt32(fd, true)));
      }
    }
    at += (size + 7) & ~7;
  }
  return descriptors;
}
