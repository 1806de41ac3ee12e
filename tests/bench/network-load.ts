/**
 * Both ends of a measurement of the network, in the engine host: one static program for the host and for a container. Built and
 * started by network-bench.ts:
 *
 *   network-load serve ADDRESS PORT      answers until it is killed
 *   network-load measure ADDRESS PORT    prints what it has measured as JSON
 *
 * A connection begins with one byte that says what the client wants: to send, to receive, or an answer to each byte.
 */
import { KataError } from "../../src/kata-error.ts";
import { withDeadline } from "../../src/sys/clock.ts";
import { FileDescriptor } from "../../src/sys/descriptor.ts";
import { EAGAIN, EINPROGRESS } from "../../src/sys/errno.ts";
import { loop } from "../../src/sys/event-loop.ts";
import { FdStream } from "../../src/sys/fd-stream.ts";
import { check, kernel } from "../../src/sys/kernel.ts";
import { parseIpAddress } from "../../src/sys/netlink/ip-address.ts";
import { programArguments, runProgram, writeSync } from "../../src/sys/program.ts";
import { CLOCK_MONOTONIC, clockGettime } from "../../src/sys/time.ts";

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;

const SEND = 0x73;
const RECEIVE = 0x72;
const ECHO = 0x65;

/** How long a stream is measured, ms, after a warm-up in which its window opens. */
const STREAM_MS = 2000;
const WARM_UP_MS = 300;
const CHUNK_BYTES = 256 << 10;
const ROUND_TRIPS = 300;
const WARM_UP_ROUND_TRIPS = 30;
const CONNECT_DEADLINE_MS = 30_000;

interface NetworkMeasurement {
  /** Bytes per second from the client, and to it. */
  readonly sent: number;
  readonly received: number;
  /** One byte there and back, microseconds each. */
  readonly roundTrips: readonly number[];
}

async function main(): Promise<number> {
  const [verb, address = "", port = ""] = programArguments;
  const peer = socketAddress(address, Number(port));
  if (verb === "serve") return await serve(peer);
  if (verb !== "measure") {
    throw new KataError("invalid-argument", { operation: "read command line", object: `${verb}` });
  }
  const measured: NetworkMeasurement = {
    sent: await stream(peer, SEND),
    received: await stream(peer, RECEIVE),
    roundTrips: await roundTrips(peer),
  };
  writeSync(1, `${JSON.stringify(measured)}\n`);
  return 0;
}

/** struct sockaddr_in: family u16, port and address in network order. */
function socketAddress(address: string, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  bytes.set(parseIpAddress(address), 4);
  return bytes;
}

function newSocket(): FileDescriptor {
  const fd = kernel().syscall("socket", AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const socket = new FileDescriptor(check(fd, "make socket for", "TCP"));
  const on = new Uint32Array([1]);
  check(kernel().syscall("setsockopt", socket.fd, IPPROTO_TCP, TCP_NODELAY, on, 4), "set option of", "TCP");
  return socket;
}

async function serve(address: Uint8Array): Promise<number> {
  const socket = newSocket();
  check(kernel().syscall("bind", socket.fd, address, address.length), "bind", "TCP");
  check(kernel().syscall("listen", socket.fd, 16), "listen on", "TCP");
  writeSync(1, "ready\n");
  for (;;) {
    const fd = kernel().syscall("accept4", socket.fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd === -EAGAIN) await loop.readable(socket.fd);
    else void answer(new FdStream(new FileDescriptor(check(fd, "accept", "TCP"))));
  }
}

async function answer(client: FdStream): Promise<void> {
  using _ = client;
  const buffer = new Uint8Array(CHUNK_BYTES);
  try {
    await client.read(buffer.subarray(0, 1));
    if (buffer[0] === RECEIVE) for (;;) await client.write(buffer);
    const echo = buffer[0] === ECHO;
    for (;;) {
      const count = await client.read(buffer);
      if (count === 0) return;
      if (echo) await client.write(buffer.subarray(0, count));
    }
  } catch (error) {
    // A client that has measured enough goes in the middle of a stream.
    if (!(error instanceof KataError)) throw error;
  }
}

async function dial(address: Uint8Array, what: number): Promise<FdStream> {
  const socket = newSocket();
  const result = kernel().syscall("connect", socket.fd, address, address.length);
  if (result !== -EINPROGRESS) check(result, "connect to", "server");
  const waiting = { operation: "connect to", object: "server" };
  await withDeadline(loop, CONNECT_DEADLINE_MS, waiting, loop.writable(socket.fd));
  const peer = new FdStream(socket);
  await peer.write(new Uint8Array([what]));
  return peer;
}

/** Bytes per second of one connection. */
async function stream(address: Uint8Array, direction: number): Promise<number> {
  using peer = await dial(address, direction);
  const buffer = new Uint8Array(CHUNK_BYTES);
  const move = async (): Promise<number> => {
    if (direction === RECEIVE) return await peer.read(buffer);
    await peer.write(buffer);
    return buffer.length;
  };
  const start = loop.now();
  while (loop.now() - start < WARM_UP_MS) await move();
  const began = loop.now();
  let bytes = 0;
  while (loop.now() - began < STREAM_MS) bytes += await move();
  return (bytes * 1000) / (loop.now() - began);
}

async function roundTrips(address: Uint8Array): Promise<number[]> {
  using peer = await dial(address, ECHO);
  const byte = new Uint8Array(1);
  const samples: number[] = [];
  for (let round = -WARM_UP_ROUND_TRIPS; round < ROUND_TRIPS; round++) {
    const started = clockGettime(CLOCK_MONOTONIC);
    await peer.write(byte);
    await peer.read(byte);
    if (round >= 0) samples.push(Number(clockGettime(CLOCK_MONOTONIC) - started) / 1000);
  }
  return samples;
}

runProgram(main);
