/** Two ends of a connection in memory, for unit tests. */
import { KataError } from "../../kata-error.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";

/** One end; what is written comes out of the other one. */
export class MemoryStream implements ByteStream {
  readonly #incoming: Uint8Array[] = [];
  #peer: MemoryStream | undefined;
  #reader: { wake(): void; fail(error: unknown): void } | undefined;
  #incomingEnded = false;
  #isClosed = false;
  /** What this end wrote, one element a call of write(). */
  readonly writes: Uint8Array[] = [];
  /** Reads answer with at most this many bytes. */
  maxRead = Number.POSITIVE_INFINITY;

  get isClosed(): boolean {
    return this.#isClosed;
  }

  async read(into: Uint8Array): Promise<number> {
    if (this.#isClosed) throw closed("read");
    while (this.#incoming.length === 0) {
      if (this.#incomingEnded) return 0;
      await new Promise<void>((resolve, reject) => {
        this.#reader = { wake: resolve, fail: reject };
      });
    }
    const first = this.#incoming[0] ?? new Uint8Array(0);
    const count = Math.min(first.length, into.length, this.maxRead);
    into.set(first.subarray(0, count));
    if (count === first.length) this.#incoming.shift();
    else this.#incoming[0] = first.subarray(count);
    return count;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) throw closed("write");
    const peer = this.#peer;
    if (peer === undefined || peer.#isClosed) {
      throw new KataError("system-call", { operation: "write", object: "memory stream", errno: "EPIPE" });
    }
    const copy = bytes.slice();
    this.writes.push(copy);
    if (copy.length > 0) peer.#incoming.push(copy);
    peer.#wake();
  }

  /** Ends the sending side only. */
  end(): void {
    if (this.#peer === undefined) return;
    this.#peer.#incomingEnded = true;
    this.#peer.#wake();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.end();
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.fail(closed("read"));
  }

  #wake(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.wake();
  }

  static pair(): { readonly ours: MemoryStream; readonly theirs: MemoryStream } {
    const ours = new MemoryStream();
    const theirs = new MemoryStream();
    ours.#peer = theirs;
    theirs.#peer = ours;
    return { ours, theirs };
  }
}

function closed(operation: string): KataError {
  return new KataError("closed", { operation, object: "memory stream" });
}
