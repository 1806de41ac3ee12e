/**
 * Notices that something in a network namespace has changed: its links, addresses, routes or neighbours.
 *
 * What has changed is not told: who wants to know lists it anew, so a notice that is lost costs nothing.
 * Source: rtnetlink(7), netlink(7).
 */
import type { CancelSignal } from "../cancellation.ts";
import { FileDescriptor } from "../descriptor.ts";
import { EAGAIN, EINTR, ENOBUFS } from "../errno.ts";
import { loop } from "../event-loop.ts";
import { check, kernel } from "../kernel.ts";
import { inNamespace } from "../namespaces.ts";
import { CLONE_NEWNET } from "../process.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const MSG_TRUNC = 0x20;

/** `RTMGRP_*` of linux/rtnetlink.h. */
const LINKS = 0x1;
const NEIGHBOURS = 0x4;
const ADDRESSES = 0x10 | 0x100;
const ROUTES = 0x40 | 0x400;

/** Notices taken in one go; the next turn takes more. */
const MAX_NOTICES = 10_000;

export class NetworkEvents implements Disposable {
  readonly #socket: FileDescriptor;

  private constructor(socket: FileDescriptor) {
    this.#socket = socket;
  }

  /** Listens from now on. @param namespace the network namespace's descriptor. */
  static open(namespace: number): NetworkEvents {
    return inNamespace(namespace, CLONE_NEWNET, () => {
      const fd = kernel().syscall(
        "socket",
        AF_NETLINK,
        SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
        NETLINK_ROUTE,
      );
      const socket = new FileDescriptor(check(fd, "make socket for", "netlink"));
      try {
        // struct sockaddr_nl: family u16, padding u16, port u32, groups u32.
        const address = new Uint32Array([AF_NETLINK, 0, LINKS | NEIGHBOURS | ADDRESSES | ROUTES]);
        check(kernel().syscall("bind", socket.fd, address, address.byteLength), "listen to", "netlink");
        return new NetworkEvents(socket);
      } catch (error) {
        socket.close();
        throw error;
      }
    });
  }

  /** Resolves when there is a notice. @throws KataError `closed` after {@link close}. */
  async arrived(signal?: CancelSignal): Promise<void> {
    await loop.readable(this.#socket.fd, signal);
  }

  /** Takes the notices that are there. @returns whether there were any. */
  take(): boolean {
    const buffer = new Uint8Array(16);
    for (let count = 0; count < MAX_NOTICES; count++) {
      const length = kernel().syscall("recvfrom", this.#socket.fd, buffer, buffer.length, MSG_TRUNC, null, 0);
      if (length === -EAGAIN) return count > 0;
      // More came than the kernel keeps: notices are lost, and there were some.
      if (length !== -EINTR && length !== -ENOBUFS) check(length, "read from", "netlink");
    }
    return true;
  }

  close(): void {
    if (!this.#socket.isOpen) return;
    loop.forget(this.#socket.fd);
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
