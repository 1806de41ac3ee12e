/**
 * A command on a shell's terminal, where only text goes in and comes out: what the command writes is put between two marks, and its
 * exit status is in the second.
 */
import { randomBytes } from "../../sys/random.ts";

const MARK_BYTES = 12;

export class ConsoleCommand {
  readonly #mark: string;
  readonly #args: readonly string[];
  /** What has come and may be the beginning of a mark. */
  #pending = "";
  #began = false;

  /** @param mark nothing else that is written holds it. */
  constructor(args: readonly string[], mark: string = randomMark()) {
    this.#args = args;
    this.#mark = mark;
  }

  /** What to send to the shell. The marks are put together by it, so that they are not in the echo of this. */
  get input(): string {
    const [half, rest] = [this.#mark.slice(0, MARK_BYTES), this.#mark.slice(MARK_BYTES)];
    const echo = `printf '%s%s' ${half} ${rest}`;
    return `stty -echo -onlcr 2>/dev/null; ${echo}; (${this.#args.map(quoted).join(" ")}) </dev/null; s=$?; ${echo}; printf ':%d:' "$s"; exit\n`;
  }

  /** @returns what of the command's output is new, and its exit status once it is known. */
  take(text: string): { readonly output: string; readonly status: number | undefined } {
    this.#pending += text;
    if (!this.#began) {
      const start = this.#pending.indexOf(this.#mark);
      if (start < 0) return { output: "", status: undefined };
      this.#began = true;
      this.#pending = this.#pending.slice(start + this.#mark.length);
    }
    const end = this.#pending.indexOf(this.#mark);
    if (end >= 0) {
      const [, status] = /^:(\d{1,3}):/.exec(this.#pending.slice(end + this.#mark.length)) ?? [];
      if (status === undefined) return { output: "", status: undefined };
      return { output: this.#pending.slice(0, end), status: Number(status) };
    }
    // The last characters may be the first of the mark.
    const kept = Math.min(this.#pending.length, this.#mark.length - 1);
    const output = this.#pending.slice(0, this.#pending.length - kept);
    this.#pending = this.#pending.slice(output.length);
    return { output, status: undefined };
  }
}

function randomMark(): string {
  return [...randomBytes(MARK_BYTES)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A word for a POSIX shell. */
export function quoted(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
