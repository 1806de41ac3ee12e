/**
 * Byte streams that containerd opens to the shim, by their names: the stdio of containers whose runtime has `io_type = "streaming"`.
 *
 * containerd opens a stream before it creates the process, and opens it again after a restart; what is carried belongs to the
 * name, not to the connection. An output's receiver tells how much it has room for, but the connection's own flow control
 * says it as well, and without its mistakes in counting; an input's sender waits to be told.
 * Sources: containerd, containerd.services.streaming.v1.Streaming, containerd.types.transfer.
 */
import { hasCode, KataError } from "../kata-error.ts";
import type { CallContext, ServerStream } from "../rpc/types.ts";
import { orCancelled } from "../sys/cancellation.ts";
import { messageName, type PackedMessage } from "./any-type.ts";
import {
  decodeStreamInit,
  decodeTransferData,
  encodeTransferData,
  encodeWindowUpdate,
  type StreamingHandlers,
} from "./generated.ts";

/** Where output goes. */
export interface OutputSink {
  write(bytes: Uint8Array): Promise<void>;
  close(): void;
}

/** Where input comes from. @see {@link OutputSink} */
export interface InputSource {
  /** As a ByteStream's: 0 at the end. */
  read(into: Uint8Array): Promise<number>;
  close(): void;
}

/** Of a message of data, bytes: containerd's own, and its receiver's buffer. */
const MESSAGE_BYTES = 32 << 10;
/** How much an input's sender may be ahead, bytes. */
const WINDOW_BYTES = 64 << 10;
/** containerd's ids have at most 76 characters, and the stream's kind. */
const MAX_NAME_LENGTH = 256;

/** Most names of ended streams that are remembered. */
const MAX_ENDED = 1024;

const DATA_TYPE = "containerd.types.transfer.Data";
const WINDOW_TYPE = "containerd.types.transfer.WindowUpdate";
const INIT_TYPE = "containerd.services.streaming.v1.StreamInit";

type Stream = ServerStream<PackedMessage, PackedMessage>;

/** A stream that is open now. */
interface OpenStream {
  readonly stream: Stream;
  end(): void;
}

/** All that belongs to one name. */
class NamedStream {
  /** A process has it as its stdio. */
  isTaken = false;
  #open: OpenStream | undefined;
  #isClosed = false;
  #changed: () => void = () => undefined;
  #change = this.#nextChange();

  attach(open: OpenStream): void {
    this.#open?.end();
    this.#open = open;
    if (this.#isClosed) open.end();
    this.#tell();
  }

  detach(open: OpenStream): void {
    if (this.#open === open) this.#open = undefined;
  }

  close(): void {
    this.#isClosed = true;
    this.#open?.end();
    this.#tell();
  }

  /** The stream that is open, as soon as one is. @throws KataError `closed` after {@link close}. */
  async current(): Promise<OpenStream> {
    for (;;) {
      if (this.#isClosed) throw new KataError("closed", { operation: "use stream", object: "it is closed" });
      if (this.#open !== undefined) return this.#open;
      await this.#change;
    }
  }

  #tell(): void {
    this.#changed();
    this.#change = this.#nextChange();
  }

  #nextChange(): Promise<void> {
    return new Promise((resolve) => {
      this.#changed = resolve;
    });
  }
}

export class NamedStreams {
  readonly #streams = new Map<string, NamedStream>();
  /** Names of those that have ended, the oldest first. */
  readonly #ended = new Set<string>();

  /** For the streaming service. */
  get handlers(): StreamingHandlers {
    return { stream: (stream, context) => this.#serve(stream, context) };
  }

  /** @param name as the process's stdio names it. */
  output(name: string): OutputSink {
    const named = this.#take(name);
    const heard = new WeakSet<OpenStream>();
    const write = async (message: PackedMessage): Promise<void> => {
      for (;;) {
        const open = await named.current();
        if (!heard.has(open)) void hearOut(open);
        heard.add(open);
        try {
          return await open.stream.send(message);
        } catch (error) {
          lose(named, open, error);
        }
      }
    };
    return {
      write: async (bytes) => {
        for (let at = 0; at < bytes.length; ) {
          const data = bytes.subarray(at, at + MESSAGE_BYTES);
          await write({ typeUrl: DATA_TYPE, value: encodeTransferData({ data }) });
          at += data.length;
        }
      },
      close: () => this.#close(name, named),
    };
  }

  /** @param name as the process's stdio names it. */
  input(name: string): InputSource {
    const named = this.#take(name);
    /** What has come and was not asked for yet. */
    let rest: Uint8Array = new Uint8Array(0);
    /** Who has been told how much room there is. */
    let told: OpenStream | undefined;
    return {
      read: async (into) => {
        while (rest.length === 0) {
          const open = await named.current();
          try {
            if (told !== open) await open.stream.send(windowUpdate(WINDOW_BYTES));
            told = open;
            const message = await open.stream.receive();
            if (message === undefined) return 0;
            rest = dataOf(message);
            if (rest.length > 0) await open.stream.send(windowUpdate(rest.length));
          } catch (error) {
            lose(named, open, error);
          }
        }
        const count = Math.min(rest.length, into.length);
        into.set(rest.subarray(0, count));
        rest = rest.subarray(count);
        return count;
      },
      close: () => this.#close(name, named),
    };
  }

  /** One stream of containerd's: settles when it may end. */
  async #serve(stream: Stream, { signal }: CallContext): Promise<void> {
    const first = await stream.receive();
    const name = nameIn(first);
    const named = this.#named(name);
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const open = { stream, end };
    // It may be used from now on.
    await stream.send({ typeUrl: "google.protobuf.Empty", value: new Uint8Array(0) });
    named.attach(open);
    try {
      await orCancelled(ended, signal);
    } finally {
      named.detach(open);
      if (!named.isTaken) this.#streams.delete(name);
    }
  }

  #take(name: string): NamedStream {
    const named = this.#named(name);
    named.isTaken = true;
    return named;
  }

  #named(name: string): NamedStream {
    const known = this.#streams.get(name) ?? new NamedStream();
    this.#streams.set(name, known);
    return known;
  }

  /** Who comes later is told of the end too. */
  #close(name: string, named: NamedStream): void {
    named.close();
    this.#ended.delete(name);
    this.#ended.add(name);
    const [oldest = name] = this.#ended;
    if (this.#ended.size <= MAX_ENDED) return;
    this.#ended.delete(oldest);
    this.#streams.delete(oldest);
  }
}

/** Takes what an output's receiver says of the room it has, so that it does not pile up. */
async function hearOut({ stream }: OpenStream): Promise<void> {
  try {
    while ((await stream.receive()) !== undefined);
  } catch (error) {
    // The end of the connection, which whoever sends notices as well.
    if (!(error instanceof KataError)) throw error;
  }
}

/** After the loss of a connection the next stream of that name is waited for. @throws what is no such loss. */
function lose(named: NamedStream, open: OpenStream, error: unknown): void {
  if (!(error instanceof KataError) || hasCode(error, "malformed-message")) throw error;
  named.detach(open);
}

function nameIn(message: PackedMessage | undefined): string {
  const isInit = message !== undefined && messageName(message.typeUrl) === INIT_TYPE;
  const id = isInit ? decodeStreamInit(message.value).id : "";
  if (id !== "" && id.length <= MAX_NAME_LENGTH) return id;
  throw new KataError("invalid-argument", {
    operation: "open stream",
    object: JSON.stringify(id.slice(0, 80)),
    hint: `its first message is a ${INIT_TYPE} with a name of up to ${MAX_NAME_LENGTH} characters`,
  });
}

function dataOf(message: PackedMessage): Uint8Array {
  // Whatever else a sender may say is not for us.
  return messageName(message.typeUrl) === DATA_TYPE
    ? decodeTransferData(message.value).data
    : new Uint8Array(0);
}

function windowUpdate(update: number): PackedMessage {
  return { typeUrl: WINDOW_TYPE, value: encodeWindowUpdate({ update }) };
}
