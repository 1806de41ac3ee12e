/**
 * A connection to a D-Bus: authentication, `Hello`, calls and their answers.
 *
 * ```
 *  → NUL "AUTH EXTERNAL " uid in hexadecimal CRLF     ← "OK " id CRLF     → "BEGIN" CRLF     then messages
 * ```
 *
 * Source: D-Bus specification 0.41, "Authentication Protocol", "Message Bus".
 */
import { KataError } from "../../kata-error.ts";
import type { ByteStream } from "../byte-stream.ts";
import { type Clock, withDeadline } from "../clock.ts";
import { utf8Decode, utf8Encode } from "../utf8.ts";
import type { DbusValue } from "./marshal.ts";
import {
  type DbusMessage,
  dbusMessageLength,
  decodeDbusMessage,
  ERROR,
  encodeDbusMessage,
  METHOD_CALL,
  METHOD_RETURN,
} from "./message.ts";

/** A bus that is well answers within milliseconds; systemd makes a unit within some ten. */
const CALL_DEADLINE_MS = 10_000;
const READ_BYTES = 4096;
/** The answer to the authentication is one short line. */
const MAX_LINE_BYTES = 1024;

export interface DbusCall {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly DbusValue[];
}

interface Pending {
  resolve(body: readonly DbusValue[]): void;
  reject(reason: unknown): void;
}

export class DbusConnection {
  /** Settles with the reason when the connection has ended. Never rejects. */
  readonly ended: Promise<unknown>;
  readonly #stream: ByteStream;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  readonly #onCall: ((message: DbusMessage) => DbusMessage) | undefined;
  #serial = 0;
  #failure: unknown;
  #rest = new Uint8Array(0);

  private constructor(
    stream: ByteStream,
    clock: Clock,
    onCall: ((message: DbusMessage) => DbusMessage) | undefined,
    rest: Uint8Array<ArrayBuffer>,
  ) {
    this.#stream = stream;
    this.#clock = clock;
    this.#onCall = onCall;
    this.#rest = rest;
    this.ended = this.#readAll().then(
      () => this.#fail(new KataError("closed", { operation: "use D-Bus", object: "the bus has closed it" })),
      (error: unknown) => this.#fail(error),
    );
  }

  /**
   * Authenticates over `stream`, which is the connection's from now on, and says hello to the bus.
   *
   * @param onCall answers calls to this connection; without it they go unanswered.
   * @throws KataError `permission-denied` if the bus does not take the user.
   */
  static async open(
    stream: ByteStream,
    uid: number,
    clock: Clock,
    onCall?: (message: DbusMessage) => DbusMessage,
  ): Promise<DbusConnection> {
    try {
      const what = { operation: "authenticate to D-Bus", object: `user ${uid}` };
      const rest = await withDeadline(clock, CALL_DEADLINE_MS, what, authenticate(stream, uid));
      const connection = new DbusConnection(stream, clock, onCall, rest);
      await connection.call({ ...BUS, member: "Hello" });
      return connection;
    } catch (error) {
      stream.close();
      throw error;
    }
  }

  /** @throws KataError `dbus-error` with the name and text that the other side answers with. */
  async call(request: DbusCall): Promise<readonly DbusValue[]> {
    if (this.#failure !== undefined) throw this.#failure;
    const serial = ++this.#serial;
    const answer = new Promise<readonly DbusValue[]>((resolve, reject) => {
      this.#pending.set(serial, { resolve, reject });
    });
    answer.catch(() => undefined);
    await this.#stream.write(
      encodeDbusMessage({ ...request, type: METHOD_CALL, serial, body: request.body ?? [] }),
    );
    const what = { operation: `call ${request.member}`, object: request.destination };
    try {
      return await withDeadline(this.#clock, CALL_DEADLINE_MS, what, answer);
    } finally {
      this.#pending.delete(serial);
    }
  }

  /** Any number of calls. */
  close(): void {
    this.#stream.close();
  }

  #fail(reason: unknown): unknown {
    this.#failure ??= reason;
    for (const { reject } of this.#pending.values()) reject(reason);
    return reason;
  }

  async #readAll(): Promise<void> {
    const chunk = new Uint8Array(READ_BYTES);
    for (;;) {
      for (
        let length = dbusMessageLength(this.#rest);
        length !== undefined;
        length = dbusMessageLength(this.#rest)
      ) {
        if (this.#rest.length < length) break;
        const message = decodeDbusMessage(this.#rest.subarray(0, length));
        this.#rest = this.#rest.slice(length);
        await this.#handle(message);
      }
      const count = await this.#stream.read(chunk);
      if (count === 0) return;
      this.#rest = joined(this.#rest, chunk.subarray(0, count));
    }
  }

  async #handle(message: DbusMessage): Promise<void> {
    if (message.type === METHOD_CALL) {
      const reply = this.#onCall?.(message);
      if (reply === undefined) return;
      const answer = { ...reply, serial: ++this.#serial, replySerial: message.serial };
      await this.#stream.write(
        encodeDbusMessage(message.sender === undefined ? answer : { ...answer, destination: message.sender }),
      );
      return;
    }
    const pending = this.#pending.get(message.replySerial ?? 0);
    if (message.type === METHOD_RETURN) pending?.resolve(message.body);
    if (message.type === ERROR) {
      pending?.reject(
        new KataError("dbus-error", {
          operation: "call D-Bus",
          object: `${message.errorName ?? "error"}: ${String(message.body[0] ?? "")}`,
        }),
      );
    }
  }
}

const BUS = {
  destination: "org.freedesktop.DBus",
  path: "/org/freedesktop/DBus",
  interface: "org.freedesktop.DBus",
} as const;

/** @returns what came after the answer. */
async function authenticate(stream: ByteStream, uid: number): Promise<Uint8Array<ArrayBuffer>> {
  const digits = [...String(uid)].map((digit) => digit.charCodeAt(0).toString(16)).join("");
  await stream.write(utf8Encode(`\0AUTH EXTERNAL ${digits}\r\n`));
  let received = new Uint8Array(0);
  const chunk = new Uint8Array(MAX_LINE_BYTES);
  for (;;) {
    const end = utf8Decode(received).indexOf("\r\n");
    if (end >= 0) {
      const line = utf8Decode(received.subarray(0, end));
      if (!line.startsWith("OK ")) {
        throw new KataError("permission-denied", { operation: "authenticate to D-Bus", object: line });
      }
      await stream.write(utf8Encode("BEGIN\r\n"));
      return received.slice(end + 2);
    }
    const count = await stream.read(chunk);
    if (count === 0 || received.length > MAX_LINE_BYTES) {
      throw new KataError("malformed-message", { operation: "authenticate to D-Bus", object: "no answer" });
    }
    received = joined(received, chunk.subarray(0, count));
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
