/** A process in the guest, as its standard streams see it, and the FIFOs that they are carried to, for native tests. */
import { sleep } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { FdStream } from "../../sys/fd-stream.ts";
import { mkdirAll, mkfifo, O_NONBLOCK, O_RDONLY, open, removeTree } from "../../sys/files.ts";
import { getpid } from "../../sys/process.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import { NamedStreams } from "../named-streams.ts";
import type { StdioPaths, StdioSandbox } from "../stdio.ts";

export const PROCESS = { containerId: "c", execId: "" };
export const LOGGER = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
export const CONTEXT = { namespace: "ns", streams: new NamedStreams(), clock: loop, logger: LOGGER };
export const NO_STREAMS: StdioPaths = { stdin: "", stdout: "", stderr: "", terminal: false };

/** A process in the guest: what it writes, and what it was sent. */
export class GuestProcess implements StdioSandbox {
  readonly received: string[] = [];
  readonly #chunks = { stdout: [] as string[], stderr: [] as string[] };
  readonly #waiting = new Map<string, () => void>();
  #ended = false;

  writes(stream: "stdout" | "stderr", text: string): void {
    this.#chunks[stream].push(text);
    this.#wake(stream);
  }

  ends(): void {
    this.#ended = true;
    for (const stream of ["stdout", "stderr"]) this.#wake(stream);
  }

  async readOutput(_process: object, stream: "stdout" | "stderr"): Promise<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks[stream].shift();
      if (chunk !== undefined) return utf8Encode(chunk);
      if (this.#ended) return new Uint8Array(0);
      await new Promise<void>((resolve) => this.#waiting.set(stream, resolve));
    }
  }

  async writeStdin(_process: object, bytes: Uint8Array): Promise<void> {
    this.received.push(utf8Decode(bytes));
  }

  async closeStdin(): Promise<void> {
    this.received.push("<end>");
  }

  #wake(stream: string): void {
    const wake = this.#waiting.get(stream);
    this.#waiting.delete(stream);
    wake?.();
  }
}

let directories = 0;

/** A directory with a FIFO for each stream, removed at the end of the scope. */
export function fifos(): { readonly paths: StdioPaths; readonly directory: string } & Disposable {
  const directory = `/tmp/kata-shim-stdio.${getpid()}.${directories++}`;
  mkdirAll(directory);
  for (const name of ["stdin", "stdout", "stderr"]) mkfifo(`${directory}/${name}`, 0o600);
  return {
    directory,
    paths: {
      stdin: `${directory}/stdin`,
      stdout: `${directory}/stdout`,
      stderr: `${directory}/stderr`,
      terminal: false,
    },
    [Symbol.dispose]: () => removeTree(directory),
  };
}

export function reader(path: string): FdStream {
  return new FdStream(open(path, O_RDONLY | O_NONBLOCK));
}

/** The text that comes until the end of the stream. */
export async function readAll(stream: FdStream): Promise<string> {
  const buffer = new Uint8Array(65536);
  let text = "";
  for (;;) {
    const count = await stream.read(buffer);
    if (count === 0) return text;
    text += utf8Decode(buffer.subarray(0, count));
  }
}

/** Waits until `condition` holds; the test's own deadline is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(loop, 2);
}
