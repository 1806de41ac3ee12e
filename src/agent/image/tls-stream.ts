/** A TLS connection, made by the program that speaks it (`kata-pull tls`): this side of it is a socket with what is plain. */
import { hasErrno, KataError } from "../../kata-error.ts";
import type { ByteStream } from "../../sys/byte-stream.ts";
import type { FileDescriptor } from "../../sys/descriptor.ts";
import { FdStream, setNonBlocking } from "../../sys/fd-stream.ts";
import { socketPair } from "../../sys/socket.ts";
import { type ProgramResult, runProgramToEnd } from "../program-run.ts";
import type { PullProgramContext } from "./pull-program.ts";

const NAME = "kata-pull";
/** Its exit status for another side that is not who it should be. */
const EXIT_UNTRUSTED = 4;

export interface TlsContext extends PullProgramContext {
  /** The file with the certificates of those who may vouch for a host, PEM. @throws KataError if there is none. */
  readonly authorities: () => FileDescriptor;
}

/** Speaks TLS over `encrypted`, which becomes this function's, to whoever proves to be `host`. */
export function openTls(encrypted: FdStream, host: string, context: TlsContext): ByteStream {
  const { ours, theirs } = socketPair();
  const close = () => {
    encrypted.close();
    theirs.close();
  };
  let running: Promise<ProgramResult>;
  try {
    using authorities = context.authorities();
    // It waits for its ends with poll(2), and writes to this side at its leisure.
    setNonBlocking(theirs.fd, false);
    running = runProgramToEnd(
      {
        path: context.program(),
        args: [NAME, "tls", host],
        environment: [],
        stdin: new Uint8Array(0),
        given: [encrypted.fd, theirs.fd, authorities.fd],
        deadlineMs: context.timeoutMs,
        outputLimit: 0,
      },
      context.reaper,
    );
  } catch (error) {
    ours.close();
    throw error;
  } finally {
    close();
  }
  // Who reads or writes hears of it.
  running.catch(() => undefined);
  return new TlsStream(new FdStream(ours), running, host);
}

class TlsStream implements ByteStream {
  readonly #plain: FdStream;
  readonly #running: Promise<ProgramResult>;
  readonly #host: string;

  constructor(plain: FdStream, running: Promise<ProgramResult>, host: string) {
    this.#plain = plain;
    this.#running = running;
    this.#host = host;
  }

  async read(into: Uint8Array): Promise<number> {
    let count = 0;
    try {
      count = await this.#plain.read(into);
    } catch (error) {
      // It ends before it has read all that was written to it, and why is what counts.
      if (!hasErrno(error, "ECONNRESET")) throw error;
    }
    if (count === 0) await this.#checkEnd();
    return count;
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      await this.#plain.write(bytes);
    } catch (error) {
      await this.#checkEnd();
      throw error;
    }
  }

  close(): void {
    this.#plain.close();
  }

  /** Why it ended. @throws KataError with the program's words if it was no good end. */
  async #checkEnd(): Promise<void> {
    const { status, stderr } = await this.#running;
    if (status === 0) return;
    throw new KataError(status === EXIT_UNTRUSTED ? "permission-denied" : "unavailable", {
      operation: `speak TLS with ${this.#host}`,
      object: stderr === "" ? `${NAME} ended with status ${status}` : stderr,
      ...(status === EXIT_UNTRUSTED
        ? { hint: "the guest trusts the authorities in its image: npm run image -- --authorities FILE" }
        : {}),
    });
  }
}
