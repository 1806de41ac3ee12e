/** A server with one service and, at the other end of its connection, a test. */

import { FakeClock } from "../../sys/testing/fake-clock.ts";
import { type ServerOptions, serveConnection } from "../server.ts";
import type { CallContext, Method, Service } from "../types.ts";
import { MemoryStream } from "./memory-stream.ts";
import { bytes, RawPeer } from "./raw-peer.ts";

type Handle = (request: Uint8Array, context: CallContext) => Promise<Uint8Array>;

export const unary = (handle: Handle): Method => ({ kind: "unary", handle });

export function harness(methods: Record<string, Method>, options: ServerOptions = {}) {
  const { ours, theirs } = MemoryStream.pair();
  const clock = new FakeClock();
  const service: Service = { name: "test.Service", methods: new Map(Object.entries(methods)) };
  const served = serveConnection(ours, [service], { clock, ...options });
  const peer = new RawPeer(theirs);
  const call = (stream: number, method: string, payload = bytes(), timeoutNano = 0) =>
    peer.request(stream, { service: "test.Service", method, payload, timeoutNano });
  return { peer, clock, served, call, server: ours, client: theirs };
}

export const ECHO = unary(async (request) => request);
