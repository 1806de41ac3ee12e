/**
 * What Firecracker tells of itself: lines of its log, and its metrics as lines of JSON, each over a FIFO.
 * Source: Firecracker documentation, docs/logger.md, docs/metrics.md.
 */

import { FdStream } from "../../../sys/fd-stream.ts";
import { O_NONBLOCK, O_RDWR, open } from "../../../sys/files.ts";
import { duplicate } from "../../../sys/process.ts";
import { ConsoleLog } from "../console-log.ts";

/** Of the log, in an error message. */
const SHOWN_LINES = 2;

export class MonitorLog {
  readonly #log: ConsoleLog;

  /** @param path of a FIFO. */
  constructor(path: string, onLine: (line: string) => void) {
    this.#log = new ConsoleLog(readFifo(path), onLine);
  }

  /** Its last lines, on one; empty if there are none. */
  lastWords(): string {
    return this.#log.tail(SHOWN_LINES).join(" | ");
  }

  close(): void {
    this.#log.close();
  }
}

/** A stream of what is written into a FIFO. It does not end with a writer: the monitor may open it late. */
export function readFifo(path: string): FdStream {
  using fifo = open(path, O_RDWR | O_NONBLOCK);
  return new FdStream(duplicate(fifo.fd));
}
