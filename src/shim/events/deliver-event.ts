/**
 * The ways to containerd for one event: its ttrpc service, and its own program where that cannot be reached.
 * Source: containerd runtime v2 shim contract, "Events".
 */
import { hasErrno, KataError } from "../../kata-error.ts";
import { TtrpcClient } from "../../rpc/client.ts";
import type { Logger } from "../../sandbox/types.ts";
import { type Clock, withDeadline } from "../../sys/clock.ts";
import { FileDescriptor } from "../../sys/descriptor.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { pipe } from "../../sys/pipe.ts";
import { SIGKILL } from "../../sys/process.ts";
import { connect } from "../../sys/socket.ts";
import { spawn } from "../../sys/spawn.ts";
import { encodeAny, eventsClient } from "../generated.ts";
import { timestampOf } from "../timestamp.ts";
import type { DeliverEvent } from "./event-queue.ts";
import type { TaskEvent } from "./task-events.ts";

/** Longest time for one event on either way, ms. */
const DELIVER_MS = 5000;

export interface EventDestination {
  readonly namespace: string;
  /** `TTRPC_ADDRESS`; empty under CRI-O. */
  readonly ttrpcAddress: string;
  /** Of containerd's gRPC socket; empty under CRI-O. */
  readonly grpcAddress: string;
  /** containerd's program; empty if there is none. */
  readonly publishBinary: string;
  readonly environment: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The way for a destination: one that has no address is told nothing, events are only logged then. */
export function eventDelivery(destination: EventDestination): DeliverEvent {
  const { ttrpcAddress, grpcAddress, publishBinary, logger } = destination;
  const service = ttrpcAddress === "" ? undefined : new EventsConnection(destination);
  const hasProgram = grpcAddress !== "" && publishBinary !== "";
  return async (event, at) => {
    if (service === undefined && !hasProgram) {
      logger.info("event", { topic: event.topic });
      return;
    }
    try {
      if (service !== undefined) return await service.forward(event, at);
    } catch (error) {
      if (!hasProgram) throw error;
      logger.debug("containerd's events service does not take an event", { error });
    }
    await publishByProgram(destination, event);
  };
}

/** A connection to containerd's events service, made when it is needed and again when it has ended. */
class EventsConnection {
  readonly #destination: EventDestination;
  #client: TtrpcClient | undefined;

  constructor(destination: EventDestination) {
    this.#destination = destination;
  }

  async forward(event: TaskEvent, at: number): Promise<void> {
    const kept = this.#client;
    if (kept !== undefined) {
      try {
        return await this.#forwardOn(kept, event, at);
      } catch {
        // containerd may have been restarted since: a new connection says what is the matter.
        kept.close();
        this.#client = undefined;
      }
    }
    const client = await this.#connect();
    try {
      await this.#forwardOn(client, event, at);
      this.#client = client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async #forwardOn(client: TtrpcClient, event: TaskEvent, at: number): Promise<void> {
    const { namespace } = this.#destination;
    const envelope = { timestamp: timestampOf(at), namespace, topic: event.topic, event: event.event };
    const metadata = { "containerd-namespace-ttrpc": namespace };
    await eventsClient(client).forward({ envelope }, { timeoutMs: DELIVER_MS, metadata });
  }

  async #connect(): Promise<TtrpcClient> {
    const { ttrpcAddress, clock } = this.#destination;
    const path = ttrpcAddress.replace(/^unix:\/\//, "");
    const what = { operation: "connect to containerd", object: path };
    return new TtrpcClient(await withDeadline(clock, DELIVER_MS, what, connect({ kind: "unix", path })));
  }
}

/** Runs `containerd publish` with the event on its stdin. */
async function publishByProgram(destination: EventDestination, { topic, event }: TaskEvent): Promise<void> {
  const { grpcAddress, namespace, publishBinary, environment, clock } = destination;
  using input = pipe();
  const child = await spawn({
    path: publishBinary,
    args: [publishBinary, "--address", grpcAddress, "publish", "--namespace", namespace, "--topic", topic],
    environment,
    descriptors: [input.reader.fd, "null", "null"],
    workingDirectory: "/",
  });
  input.reader.close();
  const sink = new FdStream(new FileDescriptor(input.writer.release()));
  try {
    const what = { operation: "publish event", object: publishBinary };
    const { status } = await withDeadline(
      clock,
      DELIVER_MS,
      what,
      sink
        .write(encodeAny(event))
        .catch((error: unknown) => {
          // A program that has ended before it read says why by its exit status.
          if (!hasErrno(error, "EPIPE")) throw error;
        })
        .finally(() => sink.close())
        .then(() => child.exited),
    );
    if (status !== 0) {
      throw new KataError("unavailable", { ...what, hint: `it ended with exit status ${status}` });
    }
  } catch (error) {
    child.kill(SIGKILL);
    throw error;
  } finally {
    sink.close();
  }
}
