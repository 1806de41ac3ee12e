/** A connection to a registry, or to whoever it sends us to. */
import { KataError } from "../../kata-error.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import { loop } from "../../sys/event-loop.ts";
import type { FdStream } from "../../sys/fd-stream.ts";
import { connectTcp } from "../../sys/internet.ts";
import type { Origin } from "./registry-client.ts";
import { resolveHost } from "./resolve-host.ts";
import { openTls, type TlsContext } from "./tls-stream.ts";

/** For one address, ms. */
const CONNECT_MS = 20_000;

/** Tries a host's addresses in turn. @throws KataError `unavailable` with the last failure. */
export async function connectToOrigin({ scheme, host, port }: Origin, tls: TlsContext): Promise<ByteStream> {
  const name = host.replace(/^\[|\]$/g, "");
  let failure: unknown;
  for (const address of await resolveHost(host)) {
    let stream: FdStream;
    try {
      stream = await connectInTime(address, port);
    } catch (error) {
      if (!(error instanceof KataError)) throw error;
      failure = error;
      continue;
    }
    return scheme === "https" ? openTls(stream, name, tls) : stream;
  }
  throw new KataError("unavailable", {
    operation: "connect to registry",
    object: `${host}:${port}`,
    hint: "the guest has to reach it over its network",
    cause: failure,
  });
}

async function connectInTime(address: Uint8Array, port: number): Promise<FdStream> {
  const giveUp = new CancelSource();
  const what = { operation: "connect to", object: `port ${port}`, hint: `no answer within ${CONNECT_MS} ms` };
  const timer = loop.after(CONNECT_MS, () => giveUp.cancel(new KataError("deadline-exceeded", what)));
  try {
    return await connectTcp(address, port, giveUp.signal);
  } finally {
    timer.cancel();
  }
}
