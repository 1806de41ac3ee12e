/**
 * The end of what a guest or a program has written: kept for error messages, passed to the log line by line.
 *
 * The writer is not trusted: only the last {@link KEPT_LINES} lines are held, and control characters do not reach a log.
 */
import { describeError, hasCode } from "../../kata-error.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { utf8Decode } from "../../sys/utf8.ts";

/** Enough for a kernel's panic with its stack. */
const KEPT_LINES = 64;
/** A longer line is cut: a line without an end must not grow for ever. */
const MAX_LINE_LENGTH = 1024;
const READ_BYTES = 4096;

export class ConsoleLog {
  readonly #stream: ByteStream;
  readonly #kept: string[] = [];
  /** What has come of the current line, as it came: a terminal sequence may come in parts. */
  #line = "";
  readonly #onLine: (line: string) => void;

  /** Settles when the stream has ended. Never rejects. */
  readonly ended: Promise<void>;

  /** Reads `stream` to its end and closes it. */
  constructor(stream: ByteStream, onLine: (line: string) => void = () => undefined) {
    this.#stream = stream;
    this.#onLine = onLine;
    this.ended = this.#read(stream);
  }

  /** The last lines, at most `lines` that hold something, oldest first. */
  tail(lines: number): string[] {
    return [...this.#kept, printable(this.#line)].filter((line) => line.trim() !== "").slice(-lines);
  }

  /** Reads no more; what was kept stays. */
  close(): void {
    this.#stream.close();
  }

  async #read(stream: ByteStream): Promise<void> {
    const chunk = new Uint8Array(READ_BYTES);
    try {
      for (let count = await stream.read(chunk); count > 0; count = await stream.read(chunk)) {
        this.#keep(chunk.subarray(0, count));
      }
    } catch (error) {
      // The writer died with data under way, or the stream was closed: there is no more to come either way.
      if (!hasCode(error, "closed")) this.#onLine(`(output ended: ${describeError(error)})`);
    } finally {
      stream.close();
    }
  }

  #keep(bytes: Uint8Array): void {
    const lines = (this.#line + utf8Decode(bytes)).split("\n");
    this.#line = (lines.pop() ?? "").slice(-MAX_LINE_LENGTH);
    for (const line of lines) {
      const shown = printable(line).slice(0, MAX_LINE_LENGTH);
      if (shown.trim() === "") continue;
      this.#kept.push(shown);
      if (this.#kept.length > KEPT_LINES) this.#kept.shift();
      this.#onLine(shown);
    }
  }
}

/** A line without terminal sequences and other control characters. */
function printable(text: string): string {
  return text
    .replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "")
    .replace(/\r/g, "")
    .replace(/[\0-\x1f\x7f]/g, "?");
}
