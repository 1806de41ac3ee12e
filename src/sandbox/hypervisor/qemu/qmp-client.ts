/**
 * A client of QEMU's monitor protocol.
 *
 * Starts connected and waits for the greeting. Commands may be under way at the same time: QEMU answers in order, and ids
 * tell the answers apart. Every command has a deadline. When the stream ends, everything that waits fails with `unavailable`.
 */
import { describeError, KataError } from "../../../kata-error.ts";
import type { ByteStream } from "../../../sys/byte-stream.ts";
import { type Clock, withDeadline } from "../../../sys/clock.ts";
import { tracePhase } from "../../../sys/trace.ts";
import { utf8Decode, utf8Encode } from "../../../sys/utf8.ts";
import { formatQmpCommand, parseQmpMessage, type QmpCommands, type QmpMessage } from "./qmp-messages.ts";

/** A monitor's connection: a byte stream that can carry descriptors. */
export interface MonitorStream extends ByteStream {
  /** Sends all of `bytes` with copies of `descriptors` attached to the first byte. */
  writeWithDescriptors(bytes: Uint8Array, descriptors: readonly number[]): Promise<void>;
}

type QmpEvent = Extract<QmpMessage, { kind: "event" }>;

interface Pending {
  readonly command: string;
  resolve(value: unknown): void;
  reject(reason: unknown): void;
}

interface EventWaiter {
  accepts(event: QmpEvent): boolean;
  resolve(event: QmpEvent): void;
  reject(reason: unknown): void;
}

/** Answers like `query-qmp-schema` have several hundred KiB; a longer line is not QEMU's. */
const MAX_LINE_BYTES = 4 << 20;
const READ_BYTES = 16 << 10;
/** The greeting comes once QEMU has made its devices, which an emulated machine on a busy host takes seconds for. */
const GREETING_DEADLINE_MS = 20_000;
/** QEMU's main loop answers within milliseconds; under load it may be held up by the guest. */
const COMMAND_DEADLINE_MS = 10_000;

const NEWLINE = 10;

export class QmpClient {
  /** QEMU's version, `7.2.22`. */
  readonly version: string;
  readonly #connection: Connection;

  private constructor(connection: Connection, version: string) {
    this.#connection = connection;
    this.version = version;
  }

  /**
   * Waits for the greeting on `stream`, which is the client's from now on, and leaves negotiation mode.
   *
   * @throws KataError `unavailable` if the stream ends before, `deadline-exceeded` after 20 s.
   */
  static async connect(stream: MonitorStream, clock: Clock): Promise<QmpClient> {
    const connection = new Connection(stream, clock);
    try {
      const what = { operation: "connect to QEMU's monitor", object: "no greeting" };
      const version = await withDeadline(clock, GREETING_DEADLINE_MS, what, connection.greeting);
      const client = new QmpClient(connection, version);
      await client.execute("qmp_capabilities", {});
      return client;
    } catch (error) {
      connection.close(error);
      throw error;
    }
  }

  /**
   * Goes on with a connection that another process has made, and uses no more: nothing is under way on it.
   *
   * @param version of QEMU, as the other one was told.
   */
  static adopt(stream: MonitorStream, clock: Clock, version: string): QmpClient {
    return new QmpClient(new Connection(stream, clock), version);
  }

  /**
   * Executes a command.
   *
   * @param descriptors sent along, for `getfd`.
   * @returns what QEMU returned, for the caller to check.
   * @throws KataError `not-found` (no such device), `unsupported` (no such command), `hypervisor-error` with QEMU's own words.
   */
  execute<Name extends keyof QmpCommands>(
    command: Name,
    commandArguments: QmpCommands[Name],
    options: { readonly descriptors?: readonly number[]; readonly deadlineMs?: number } = {},
  ): Promise<unknown> {
    return this.#connection.execute(
      command,
      commandArguments,
      options.descriptors ?? [],
      options.deadlineMs ?? COMMAND_DEADLINE_MS,
    );
  }

  /** Resolves with the next event of this name whose data `matches`. Call it before what makes the event come. */
  nextEvent(
    name: string,
    matches: (data: QmpEvent["data"]) => boolean,
    deadlineMs: number,
  ): Promise<QmpEvent["data"]> {
    return this.#connection.nextEvent(name, matches, deadlineMs);
  }

  /** Resolves with the next event of this name, however long it takes. @throws KataError once the connection has ended. */
  event(name: string): Promise<QmpEvent["data"]> {
    return this.#connection.event(name);
  }

  /** Ends the connection. Any number of calls. */
  close(): void {
    this.#connection.close(
      new KataError("closed", { operation: "use QEMU's monitor", object: "it is closed" }),
    );
  }
}

class Connection {
  readonly greeting: Promise<string>;
  readonly #stream: MonitorStream;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  readonly #waiters = new Set<EventWaiter>();
  #greet: { resolve(version: string): void; reject(reason: unknown): void } | undefined;
  #nextId = 1;
  #failure: unknown;

  constructor(stream: MonitorStream, clock: Clock) {
    this.#stream = stream;
    this.#clock = clock;
    this.greeting = new Promise((resolve, reject) => {
      this.#greet = { resolve, reject };
    });
    // Nobody waits for it on a connection that is adopted.
    this.greeting.catch(() => undefined);
    this.#readAll().then(
      () => this.close(unavailable("it has closed the connection")),
      (error) => this.close(unavailable(describeError(error), error)),
    );
  }

  async execute(
    command: string,
    commandArguments: object,
    descriptors: readonly number[],
    deadlineMs: number,
  ): Promise<unknown> {
    if (this.#failure !== undefined) throw this.#failure;
    const id = this.#nextId++;
    const endPhase = tracePhase("monitor", command);
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { command, resolve, reject });
    });
    const line = utf8Encode(formatQmpCommand(command, commandArguments, id));
    const sent =
      descriptors.length > 0
        ? this.#stream.writeWithDescriptors(line, descriptors)
        : this.#stream.write(line);
    sent.catch((error: unknown) => this.close(unavailable(describeError(error), error)));
    try {
      return await withDeadline(this.#clock, deadlineMs, { operation: "QEMU", object: command }, answer);
    } finally {
      endPhase();
      this.#pending.delete(id);
    }
  }

  async nextEvent(
    name: string,
    matches: (data: QmpEvent["data"]) => boolean,
    deadlineMs: number,
  ): Promise<QmpEvent["data"]> {
    if (this.#failure !== undefined) throw this.#failure;
    let waiter: EventWaiter | undefined;
    const event = new Promise<QmpEvent>((resolve, reject) => {
      waiter = { accepts: (seen) => seen.name === name && matches(seen.data), resolve, reject };
      this.#waiters.add(waiter);
    });
    try {
      const what = { operation: "wait for QEMU's event", object: name };
      return (await withDeadline(this.#clock, deadlineMs, what, event)).data;
    } finally {
      if (waiter !== undefined) this.#waiters.delete(waiter);
    }
  }

  async event(name: string): Promise<QmpEvent["data"]> {
    if (this.#failure !== undefined) throw this.#failure;
    const seen = await new Promise<QmpEvent>((resolve, reject) => {
      const waiter: EventWaiter = {
        accepts: (event) => event.name === name,
        resolve: (event) => {
          this.#waiters.delete(waiter);
          resolve(event);
        },
        reject,
      };
      this.#waiters.add(waiter);
    });
    return seen.data;
  }

  close(reason: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#stream.close();
    this.#greet?.reject(reason);
    for (const { reject } of [...this.#pending.values(), ...this.#waiters]) reject(reason);
  }

  async #readAll(): Promise<void> {
    const chunk = new Uint8Array(READ_BYTES);
    let unfinished = new Uint8Array(0);
    for (;;) {
      const count = await this.#stream.read(chunk);
      if (count === 0) return;
      let rest = chunk.subarray(0, count);
      for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
        const line = concatenate(unfinished, rest.subarray(0, end));
        unfinished = new Uint8Array(0);
        rest = rest.subarray(end + 1);
        const text = utf8Decode(line).trim();
        if (text !== "") this.#handle(parseQmpMessage(text));
      }
      unfinished = concatenate(unfinished, rest);
      if (unfinished.length > MAX_LINE_BYTES) {
        throw new KataError("oversized-message", {
          operation: "read from QEMU's monitor",
          object: `a line of more than ${MAX_LINE_BYTES} bytes`,
        });
      }
    }
  }

  #handle(message: QmpMessage): void {
    switch (message.kind) {
      case "greeting":
        this.#greet?.resolve(message.version);
        return;
      case "event":
        for (const waiter of [...this.#waiters]) if (waiter.accepts(message)) waiter.resolve(message);
        return;
      case "result":
        this.#take(message.id)?.resolve(message.value);
        return;
      case "error": {
        const pending = this.#take(message.id);
        pending?.reject(commandError(pending.command, message.errorClass, message.description));
      }
    }
  }

  /** An answer to a command that was given up at its deadline has nobody left to go to. */
  #take(id: number | undefined): Pending | undefined {
    return id === undefined ? undefined : this.#pending.get(id);
  }
}

const ERROR_CODES: Readonly<Record<string, string>> = {
  DeviceNotFound: "not-found",
  CommandNotFound: "unsupported",
};

function commandError(command: string, errorClass: string, description: string): KataError {
  const code = Object.hasOwn(ERROR_CODES, errorClass) ? ERROR_CODES[errorClass] : undefined;
  return new KataError(code ?? "hypervisor-error", { operation: `QEMU ${command}`, object: description });
}

function unavailable(why: string, cause?: unknown): KataError {
  return new KataError("unavailable", { operation: "talk to QEMU's monitor", object: why, cause });
}

function concatenate(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
