/**
 * Stands in front of QEMU and in the middle of the agent's channel, as a host would that has turned against its pods.
 *
 *   tampering-monitor DIRECTORY QEMU ARGUMENT...
 *
 * What the shim says goes to the agent as it is, and is written to DIRECTORY/requests.jsonl: `{"method": …, "payload": base64}`.
 * Whoever connects to DIRECTORY/tamper.sock speaks ttrpc with the same agent, in between: streams are numbered anew, so that the
 * agent sees one client.
 */
import { spawn } from "node:child_process";
import { appendFileSync, rmSync } from "node:fs";
import { createServer, Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { FrameType, HEADER_BYTES } from "../../src/rpc/frame.ts";
import { type Frame, FrameParser } from "../../src/rpc/frame-parser.ts";
import { decodeRequest } from "../../src/rpc/generated.ts";

const [directory = "", monitor = "", ...args] = process.argv.slice(2);
const REQUESTS = join(directory, "requests.jsonl");
const SOCKET = join(directory, "tamper.sock");

/** The agent's channel among QEMU's descriptors. */
const agentFd = Number(
  args.map((argument) => /^socket,id=agent,fd=(\d+)$/.exec(argument)?.[1]).find((fd) => fd !== undefined),
);

/** QEMU with the descriptors that its arguments name, and a channel of ours in the place of the agent's. */
function startMonitor() {
  const named = args.flatMap((argument) =>
    [...argument.matchAll(/\b(?:fd|vhostfd)=(\d+)/g)].map((found) => Number(found[1])),
  );
  const stdio = Array.from({ length: Math.max(2, ...named) + 1 }, (_, fd) => {
    if (fd === agentFd) return "pipe" as const;
    return fd < 3 || named.includes(fd) ? fd : ("ignore" as const);
  });
  // It must not outlive this process, as it would not outlive the shim.
  return spawn("setpriv", ["--pdeathsig", "KILL", monitor, ...args], { stdio });
}

interface Origin {
  readonly socket: Duplex;
  readonly stream: number;
}

/** What the agent's streams stand for. */
const origins = new Map<number, Origin>();
let lastStream = -1;

function framesOf(socket: Duplex, take: (frame: Frame) => void): void {
  const parser = new FrameParser();
  socket.on("data", (chunk: Buffer) => {
    for (let rest = chunk; rest.length > 0; ) {
      const space = parser.space();
      const count = Math.min(space.length, rest.length);
      space.set(rest.subarray(0, count));
      parser.filled(count);
      rest = rest.subarray(count);
      for (let frame = parser.next(); frame !== undefined; frame = parser.next()) take(frame);
    }
  });
}

function send(socket: Duplex, stream: number, { type, flags, body = new Uint8Array(0) }: Frame): void {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(body.length, 0);
  header.writeUInt32BE(stream, 4);
  header[8] = type;
  header[9] = flags;
  socket.write(Buffer.concat([header, body]));
}

/** Passes a client's frames on to the agent. */
function serveClient(client: Duplex, agent: Duplex, onRequest: (body: Uint8Array) => void): void {
  const streams = new Map<number, number>();
  framesOf(client, (frame) => {
    if (frame.type === FrameType.request) {
      lastStream += 2;
      streams.set(frame.stream, lastStream);
      origins.set(lastStream, { socket: client, stream: frame.stream });
      if (frame.body !== undefined) onRequest(frame.body);
    }
    const stream = streams.get(frame.stream);
    if (stream !== undefined) send(agent, stream, frame);
  });
}

function record(body: Uint8Array): void {
  const { method, payload } = decodeRequest(body);
  const line = JSON.stringify({ method, payload: Buffer.from(payload).toString("base64") });
  appendFileSync(REQUESTS, `${line}\n`);
}

const child = startMonitor();
const agent = child.stdio[agentFd] as unknown as Duplex;
framesOf(agent, (frame) => {
  const origin = origins.get(frame.stream);
  if (origin !== undefined && !origin.socket.destroyed) send(origin.socket, origin.stream, frame);
});
const shim = new Socket({ fd: agentFd });
serveClient(shim, agent, record);
shim.on("close", () => agent.end());
agent.on("close", () => shim.end());
rmSync(SOCKET, { force: true });
const server = createServer((client) => {
  client.on("error", () => client.destroy());
  serveClient(client, agent, () => undefined);
}).listen(SOCKET);
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => {
  server.close();
  process.exit(code ?? (signal === null ? 1 : 128));
});
