/** The log of the shim that serves: containerd's pipe in the bundle, which it copies to its own log. */
import { hasErrno } from "../kata-error.ts";
import { O_NONBLOCK, O_WRONLY, open } from "../sys/files.ts";
import { Logger } from "../sys/log.ts";
import { duplicateTo, getpid } from "../sys/process.ts";
import type { ShimArguments } from "./arguments.ts";

const STDERR = 2;

/** Lines that are kept for who asks on the management socket, and the characters that they may have together. */
const KEPT_LINES = 200;
const KEPT_CHARACTERS = 32 << 10;

/** The last lines of a log. */
export class RecentLines {
  readonly #lines: string[] = [];
  #characters = 0;

  /** @param line with its newline. */
  add(line: string): void {
    this.#lines.push(line);
    this.#characters += line.length;
    while (this.#lines.length > KEPT_LINES || this.#characters > KEPT_CHARACTERS) {
      this.#characters -= this.#lines.shift()?.length ?? 0;
    }
  }

  get text(): string {
    return this.#lines.join("");
  }
}

/**
 * Makes the pipe this process's standard error, so that last words go there too, and a log on it. Without a reader there is no
 * log; one that comes later, as after a restart of containerd, reads on.
 *
 * @param recent keeps what is written.
 */
export function openShimLog(
  bundle: string,
  { id, namespace, debug }: ShimArguments,
  recent: RecentLines,
): Logger {
  try {
    using pipe = open(`${bundle}/log`, O_WRONLY | O_NONBLOCK);
    duplicateTo(pipe.fd, STDERR);
  } catch (error) {
    // No such pipe, or nobody who reads it: standard error stays what `start` gave, /dev/null.
    if (!hasErrno(error, "ENOENT", "ENXIO")) throw error;
  }
  const fields = { name: "containerd-shim-kata-v2", source: "shim", pid: getpid(), namespace, sandbox: id };
  return new Logger(STDERR, debug ? "debug" : "info", fields, (line) => recent.add(line));
}
