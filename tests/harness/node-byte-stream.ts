/** A socket of Node's as the stream that ttrpc runs over. */
import type { Socket } from "node:net";
import { KataError } from "../../src/kata-error.ts";
import type { ByteStream } from "../../src/sys/byte-stream.ts";
import type { Clock } from "../../src/sys/clock.ts";

/** Takes `socket` over, which is connected. */
export function nodeByteStream(socket: Socket): ByteStream {
  const chunks: Buffer[] = [];
  let ended = false;
  let failure: Error | undefined;
  let wake: () => void = () => undefined;
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    socket.pause();
    wake();
  });
  socket.on("error", (error) => {
    failure = error;
  });
  for (const event of ["end", "close"] as const) {
    socket.on(event, () => {
      ended = true;
      wake();
    });
  }
  const closed = () => new KataError("closed", { operation: "use connection", object: "it is closed" });
  let isClosed = false;
  return {
    async read(into) {
      while (chunks.length === 0) {
        if (isClosed) throw closed();
        if (failure !== undefined) throw failure;
        if (ended) return 0;
        await new Promise<void>((resolve) => {
          wake = resolve;
          socket.resume();
        });
      }
      const [first = Buffer.alloc(0)] = chunks;
      const count = Math.min(first.length, into.length);
      into.set(first.subarray(0, count));
      if (count === first.length) chunks.shift();
      else chunks[0] = first.subarray(count);
      return count;
    },
    write(bytes) {
      if (isClosed) return Promise.reject(closed());
      return new Promise((resolve, reject) => {
        socket.write(bytes, (error) => (error ? reject(error) : resolve()));
      });
    },
    close() {
      isClosed = true;
      socket.destroy();
      wake();
    },
  };
}

/** Node's timers as the clock that calls have their deadlines by. */
export const nodeClock: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};
