/**
 * The connection to the agent in the guest: from a machine that has just been started to the agent's first answer.
 *
 * A virtio-serial port is one stream that is there before the guest is. QEMU holds back what we send until somebody in the guest
 * opens the port, but an agent that is started again, or another monitor, may lose it. So the agent is asked for its health,
 * again and again; whichever question it answers first, it is there. A vsock port has nobody behind it until the agent listens:
 * connecting is tried until it works.
 */
import { hasCode, hasErrno, KataError } from "../kata-error.ts";
import { TtrpcClient } from "../rpc/client.ts";
import { lastingClient } from "../rpc/lasting-stream.ts";
import type { ByteStream } from "../sys/byte-stream.ts";
import { type CancelSignal, CancelSource, orCancelled, throwIfCancelled } from "../sys/cancellation.ts";
import { sleep, type Timer } from "../sys/clock.ts";
import { loop } from "../sys/event-loop.ts";
import { connect, showAddress } from "../sys/socket.ts";
import type { AgentConnection } from "./agent-client.ts";
import { agentServiceClient, healthClient } from "./generated.ts";
import type { AgentChannel } from "./hypervisor/types.ts";
import { connectHybridVsock } from "./transport/hybrid-vsock.ts";

/** Long enough that an agent on a slow machine is rarely asked twice after it has come up, ms. */
const ASK_INTERVAL_MS = 1000;
/** Between two tries to connect, ms. */
const DIAL_INTERVAL_MS = 20;

/**
 * Waits for the agent.
 *
 * @param timeoutMs until the first answer.
 * @throws KataError `deadline-exceeded` if there is none, `unavailable` if the machine closes the channel, or the signal's reason.
 */
export async function connectAgent(
  channel: AgentChannel,
  timeoutMs: number,
  signal?: CancelSignal,
): Promise<AgentConnection> {
  const giveUp = new CancelSource(signal);
  const timer = loop.after(timeoutMs, () =>
    giveUp.cancel(
      new KataError("deadline-exceeded", {
        operation: "reach the agent",
        object: showChannel(channel),
        hint: `no answer within ${timeoutMs} ms`,
      }),
    ),
  );
  try {
    if (channel.kind === "stream")
      return await greet(new TtrpcClient(channel.stream, { lasting: lastingClient() }), giveUp.signal);
    return await dial(channel, giveUp.signal);
  } finally {
    timer.cancel();
  }
}

function showChannel(channel: AgentChannel): string {
  switch (channel.kind) {
    case "stream":
      return "virtio-serial";
    case "vsock":
      return `vsock://${channel.cid}:${channel.port}`;
    case "hybrid-vsock":
      return `hvsock://${channel.path}:${channel.port}`;
    case "socket":
      return `remote://${showAddress(channel.address)}`;
  }
}

type DialledChannel = Exclude<AgentChannel, { kind: "stream" }>;

function connectTo(channel: DialledChannel, signal: CancelSignal): Promise<ByteStream> {
  if (channel.kind === "vsock") return connect(channel, signal);
  if (channel.kind === "socket") return connect(channel.address, signal);
  return connectHybridVsock(channel.path, channel.port, signal);
}

async function dial(channel: DialledChannel, signal: CancelSignal): Promise<AgentConnection> {
  for (;;) {
    throwIfCancelled(signal);
    try {
      return await greet(new TtrpcClient(await connectTo(channel, signal)), signal);
    } catch (error) {
      // ECONNRESET: nobody listens yet; ENODEV, ETIMEDOUT: the guest's driver is not up; unavailable: an agent that has ended.
      // ENOENT: the monitor has not made its socket yet.
      const transient = hasErrno(
        error,
        "ECONNRESET",
        "ECONNREFUSED",
        "ENODEV",
        "ENOENT",
        "ETIMEDOUT",
        "EHOSTUNREACH",
      );
      if (signal.aborted || !(transient || hasCode(error, "unavailable"))) throw error;
    }
    await orCancelled(sleep(loop, DIAL_INTERVAL_MS), signal);
  }
}

/** The connection to an agent that is known to be there, in a machine that was saved while it waited for calls. */
export function adoptAgent(channel: AgentChannel): AgentConnection {
  if (channel.kind === "stream") {
    return connectionOf(new TtrpcClient(channel.stream, { lasting: lastingClient() }));
  }
  throw new KataError("internal", { operation: "adopt agent", object: showChannel(channel) });
}

function connectionOf(client: TtrpcClient): AgentConnection {
  return {
    calls: agentServiceClient(client),
    check: (options) => healthClient(client).check({}, options),
    closed: client.closed,
    close: () => client.close(),
  };
}

/** The connection once the agent has answered; the client is closed if it does not. */
async function greet(client: TtrpcClient, signal: CancelSignal): Promise<AgentConnection> {
  try {
    await orCancelled(firstAnswer(client, signal), signal);
  } catch (error) {
    client.close();
    throw error;
  }
  return connectionOf(client);
}

function firstAnswer(client: TtrpcClient, signal: CancelSignal): Promise<void> {
  const health = healthClient(client);
  return new Promise((resolve, reject) => {
    let next: Timer | undefined;
    const settle = (how: () => void) => {
      next?.cancel();
      how();
    };
    const ask = () => {
      if (signal.aborted) return;
      next = loop.after(ASK_INTERVAL_MS, ask);
      health.check({}).then(
        () => settle(resolve),
        // An agent that refuses the question has heard it.
        (error: unknown) =>
          settle(hasCode(error, "unavailable", "malformed-message") ? () => reject(error) : resolve),
      );
    };
    ask();
  });
}
