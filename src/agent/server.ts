/** Where and how the agent takes connections. */
import { describeError, KataError } from "../kata-error.ts";
import type { FileDescriptor } from "../sys/descriptor.ts";
import { loop } from "../sys/event-loop.ts";
import type { FdStream } from "../sys/fd-stream.ts";
import { exists, unlinkIfExists } from "../sys/files.ts";
import type { Logger } from "../sys/log.ts";
import { accept, listen, type SocketAddress, showAddress, VMADDR_CID_ANY } from "../sys/socket.ts";
import {
  AGENT_SERIAL_PORT,
  AGENT_VSOCK_PORT,
  type ListenAddress,
  parseListenAddress,
} from "./listen-address.ts";
import { acceptSerialPort, expectsSerialPort } from "./virtio-serial.ts";

/** Answers one connection until it ends. */
export type ServeConnection = (stream: FdStream) => Promise<void>;

/** Where to answer if nobody has said: the serial port that is made for it, otherwise vsock. */
export function chooseAddress(configured: string | undefined): ListenAddress {
  if (configured !== undefined) return parseListenAddress(configured);
  if (expectsSerialPort(AGENT_SERIAL_PORT)) return { kind: "virtio-serial", name: AGENT_SERIAL_PORT };
  if (exists("/dev/vsock")) return { kind: "vsock", cid: VMADDR_CID_ANY, port: AGENT_VSOCK_PORT };
  throw new KataError("unavailable", {
    operation: "choose server address",
    object: `neither a virtio-serial port ${AGENT_SERIAL_PORT} nor vsock`,
    hint: "the machine needs one of them, or agent.server_addr= on the kernel command line",
  });
}

/** A server that can be told to stop. */
export interface AgentServer {
  /** Takes no more connections; those that are open go on. */
  stop(): void;
  /** Settles when it has stopped and the last connection has ended. */
  readonly ended: Promise<void>;
}

/** Answers at `address` with `serve`. */
export function startServer(address: ListenAddress, serve: ServeConnection, logger: Logger): AgentServer {
  return address.kind === "virtio-serial"
    ? serveSerialPort(address.name, serve, logger)
    : serveSocket(address, serve, logger);
}

/** One connection after the other: when the host closes its end, the next one may come. */
function serveSerialPort(name: string, serve: ServeConnection, logger: Logger): AgentServer {
  let stopped = false;
  const run = async (): Promise<void> => {
    while (!stopped) {
      const stream = await acceptSerialPort(name);
      await attend(stream, serve, logger);
    }
  };
  return {
    stop() {
      stopped = true;
    },
    ended: run(),
  };
}

function serveSocket(address: SocketAddress, serve: ServeConnection, logger: Logger): AgentServer {
  if (address.kind === "unix") unlinkIfExists(address.path);
  const socket: FileDescriptor = listen(address);
  logger.info("serving", { address: showAddress(address) });
  const connections = new Set<Promise<void>>();
  let stopped = false;
  const run = async (): Promise<void> => {
    try {
      for (;;) {
        const stream = await accept(socket);
        const connection: Promise<void> = attend(stream, serve, logger).finally(() =>
          connections.delete(connection),
        );
        connections.add(connection);
      }
    } catch (error) {
      if (!stopped) throw error;
    }
    await Promise.all(connections);
  };
  return {
    stop() {
      if (stopped) return;
      stopped = true;
      loop.forget(socket.fd);
      socket.close();
      if (address.kind === "unix") unlinkIfExists(address.path);
    },
    ended: run(),
  };
}

/** A connection's failure is its own. */
async function attend(stream: FdStream, serve: ServeConnection, logger: Logger): Promise<void> {
  try {
    await serve(stream);
  } catch (error) {
    logger.warn("connection ended", { error: describeError(error) });
  } finally {
    stream.close();
  }
}
