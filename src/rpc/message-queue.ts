/** Messages of one stream that came and were not yet asked for. */
import type { Clock } from "../sys/clock.ts";
import { MAX_BODY_BYTES } from "./frame.ts";

/** Most messages that wait: as many as containerd's implementation keeps. */
export const MAX_QUEUED_MESSAGES = 64;
/** Bytes of the messages that wait, after which no more are taken: one of the largest may always be there. */
const MAX_QUEUED_BYTES = MAX_BODY_BYTES;
/**
 * How long a full queue holds the connection up before its stream fails, ms: what containerd's implementation does. All streams
 * share the connection, so one that nobody reads must not stop the others for ever.
 */
export const FULL_QUEUE_MS = 1000;

export class MessageQueue {
  readonly #messages: Uint8Array[] = [];
  #bytes = 0;
  #reader: { resolve(message: Uint8Array | undefined): void; reject(error: unknown): void } | undefined;
  #room: (() => void) | undefined;
  #end: { readonly error: unknown } | undefined;

  get ended(): boolean {
    return this.#end !== undefined;
  }

  /**
   * Adds a message; after the end it is dropped.
   *
   * @returns undefined if there is room for another, otherwise a promise for whether there was some in time.
   */
  push(message: Uint8Array, clock: Clock): Promise<boolean> | undefined {
    if (this.#end !== undefined) return undefined;
    const reader = this.#reader;
    if (reader !== undefined) {
      this.#reader = undefined;
      reader.resolve(message);
      return undefined;
    }
    this.#messages.push(message);
    this.#bytes += message.length;
    if (this.#hasRoom()) return undefined;
    return new Promise((resolve) => {
      const timer = clock.after(FULL_QUEUE_MS, () => {
        this.#room = undefined;
        resolve(false);
      });
      this.#room = () => {
        timer.cancel();
        resolve(true);
      };
    });
  }

  /** No more messages come; those that are there can still be read, then `error` is thrown if there is one. */
  end(error?: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    const reader = this.#reader;
    this.#reader = undefined;
    if (error === undefined) reader?.resolve(undefined);
    else reader?.reject(error);
    this.#makeRoom();
  }

  /** Ends at once: what is there is dropped. */
  abort(error: unknown): void {
    this.#messages.length = 0;
    this.#bytes = 0;
    this.#end = undefined;
    this.end(error);
  }

  /** The next message, undefined at the end. One caller at a time. */
  pull(): Promise<Uint8Array | undefined> {
    const message = this.#messages.shift();
    if (message !== undefined) {
      this.#bytes -= message.length;
      if (this.#hasRoom()) this.#makeRoom();
      return Promise.resolve(message);
    }
    if (this.#end !== undefined) {
      return this.#end.error === undefined ? Promise.resolve(undefined) : Promise.reject(this.#end.error);
    }
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  #hasRoom(): boolean {
    return this.#messages.length < MAX_QUEUED_MESSAGES && this.#bytes < MAX_QUEUED_BYTES;
  }

  #makeRoom(): void {
    const room = this.#room;
    this.#room = undefined;
    room?.();
  }
}
