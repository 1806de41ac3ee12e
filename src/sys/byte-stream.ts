/** The one shape of a connection: what ttrpc, QMP and stdio are carried over. */

/**
 * An ordered, reliable stream of bytes in both directions.
 *
 * One read and any number of writes may be under way; writes are sent whole and in the order of the calls.
 */
export interface ByteStream {
  /**
   * Fills the start of `into` with what is there, waiting for at least one byte.
   *
   * @returns the number of bytes, 1 to `into.length`; 0 at the end of the stream.
   * @throws KataError `system-call` with the errno; `closed` if {@link close} was called.
   */
  read(into: Uint8Array): Promise<number>;

  /**
   * Sends all of `bytes`; the caller leaves them unchanged until the promise settles.
   *
   * @throws KataError `system-call` with the errno (EPIPE: the other side is gone); `closed` after {@link close}.
   */
  write(bytes: Uint8Array): Promise<void>;

  /** Ends both directions at once; a waiting read or write fails with `closed`. Any number of calls. */
  close(): void;
}
