/** A process in a guest, run by its pod's shim (`src/shim/management/exec-route.ts`). */
import { KataError } from "../../kata-error.ts";
import { EXEC_PROTOCOL, type ExecFrame, encodeExecFrame, readExecFrame } from "../../rpc/http/exec-stream.ts";
import { parseResponse, readHttpMessage } from "../../rpc/http/http-message.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import { connectToShim, refusal } from "../ask-shim.ts";

const TARGET = "/exec";
/** The shim answers before it asks the guest, ms. */
const ANSWER_MS = 10_000;

export interface GuestCommand {
  /** Program and arguments. */
  readonly args: readonly string[];
  /** `NAME=VALUE`. */
  readonly env: readonly string[];
  readonly cwd?: string;
  readonly terminal: boolean;
  /** Of the terminal; 0 if it is not known. */
  readonly rows?: number;
  readonly columns?: number;
}

/** What a guest's shells find programs by. */
export const GUEST_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export class GuestProcess {
  readonly #stream: ByteStream;

  private constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** @throws KataError `no-route` if the pod's shim cannot: upstream's do not. */
  static async start(sandboxId: string, command: GuestCommand): Promise<GuestProcess> {
    const stream = await connectToShim(sandboxId);
    try {
      const body = utf8Encode(JSON.stringify(command));
      const head = [
        `POST ${TARGET} HTTP/1.1`,
        "Host: shim",
        "Connection: Upgrade",
        `Upgrade: ${EXEC_PROTOCOL}`,
        `Content-Length: ${body.length}`,
      ];
      await stream.write(utf8Encode(`${head.join("\r\n")}\r\n\r\n`));
      await stream.write(body);
      const what = { operation: "run process in the guest", object: sandboxId };
      const message = await withDeadline(loop, ANSWER_MS, what, readHttpMessage(stream, true));
      const answer = parseResponse(message);
      if (answer.status !== 101) throw refusal(answer, TARGET);
      return new GuestProcess(withBefore(answer.body, stream));
    } catch (error) {
      stream.close();
      throw error;
    }
  }

  async send(frame: ExecFrame): Promise<void> {
    await this.#stream.write(encodeExecFrame(frame));
  }

  /**
   * Hands out what the process writes until it ends.
   *
   * @returns its exit status.
   * @throws KataError why there is none, as the guest's agent or the shim says it.
   */
  async run(
    onOutput: (kind: "stdout" | "stderr", bytes: Uint8Array) => void | Promise<void>,
  ): Promise<number> {
    for (;;) {
      const frame = await readExecFrame(this.#stream);
      switch (frame?.kind) {
        case "stdout":
        case "stderr":
          await onOutput(frame.kind, frame.bytes);
          break;
        case "exit":
          return frame.status;
        case "failure":
          throw new KataError(frame.code, {
            operation: "run process in the guest",
            object: frame.message.replace(/[\0-\x1f\x7f]/g, "?"),
          });
        default:
          throw new KataError("unavailable", {
            operation: "run process in the guest",
            object: frame === undefined ? "the shim has hung up" : `the shim sent ${frame.kind}`,
          });
      }
    }
  }

  close(): void {
    this.#stream.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** `stream` with bytes that were read of it too early. */
function withBefore(early: Uint8Array, stream: ByteStream): ByteStream {
  let rest = early;
  return {
    async read(into) {
      if (rest.length === 0) return await stream.read(into);
      const count = Math.min(rest.length, into.length);
      into.set(rest.subarray(0, count));
      rest = rest.subarray(count);
      return count;
    },
    write: (bytes) => stream.write(bytes),
    close: () => stream.close(),
  };
}
