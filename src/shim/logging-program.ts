/**
 * A program that takes the outputs of a container's process: `binary://` addresses, as nerdctl uses them.
 *
 * It reads stdout from its descriptor 3 and stderr from 4, and tells by closing 5, or writing to it, that it is ready.
 * Source: containerd runtime v2 shim contract, "Stdio".
 */
import { KataError } from "../kata-error.ts";
import { type Clock, withDeadline } from "../sys/clock.ts";
import { FileDescriptor } from "../sys/descriptor.ts";
import { FdStream } from "../sys/fd-stream.ts";
import { pipe } from "../sys/pipe.ts";
import { SIGKILL, SIGTERM } from "../sys/process.ts";
import { type ChildProcess, spawn } from "../sys/spawn.ts";
import type { StdioAddress } from "./stdio-address.ts";

export interface LoggingRequest {
  readonly address: Extract<StdioAddress, { kind: "program" }>;
  readonly containerId: string;
  readonly namespace: string;
  readonly clock: Clock;
}

/** A program that is not ready by then never will be, ms. */
const READY_MS = 10_000;
/** From the end of the outputs: to the end of the program by itself, and from SIGTERM to SIGKILL, ms. */
const END_MS = 1000;
const TERMINATE_MS = 12_000;

export class LoggingProgram implements Disposable {
  /** What is written here reaches the program as the process's output. */
  readonly stdout: FileDescriptor;
  readonly stderr: FileDescriptor;
  readonly #child: ChildProcess;
  readonly #clock: Clock;

  private constructor(child: ChildProcess, stdout: FileDescriptor, stderr: FileDescriptor, clock: Clock) {
    this.#child = child;
    this.stdout = stdout;
    this.stderr = stderr;
    this.#clock = clock;
  }

  /**
   * Starts the program and waits until it is ready.
   *
   * @throws KataError `system-call` with the errno if it cannot be started, `failed-precondition` or `deadline-exceeded` if it does
   * not become ready.
   */
  static async start({ address, containerId, namespace, clock }: LoggingRequest): Promise<LoggingProgram> {
    using stdout = pipe();
    using stderr = pipe();
    using ready = pipe();
    const child = await spawn({
      path: address.path,
      args: [address.path, ...address.args],
      // Nothing else: what is in the shim's own environment is not for it.
      environment: [`CONTAINER_ID=${containerId}`, `CONTAINER_NAMESPACE=${namespace}`],
      descriptors: ["null", "null", "null", stdout.reader.fd, stderr.reader.fd, ready.writer.fd],
      workingDirectory: "/",
    });
    ready.writer.close();
    try {
      await becomeReady(address, new FileDescriptor(ready.reader.release()), clock);
    } catch (error) {
      child.kill(SIGKILL);
      throw error;
    }
    const writer = (end: FileDescriptor) => new FileDescriptor(end.release());
    return new LoggingProgram(child, writer(stdout.writer), writer(stderr.writer), clock);
  }

  /** Lets the program end, now that the outputs have; it is ended if it does not. */
  [Symbol.dispose](): void {
    this.stdout.close();
    this.stderr.close();
    const terminate = this.#clock.after(END_MS, () => {
      this.#child.kill(SIGTERM);
      const kill = this.#clock.after(TERMINATE_MS, () => void this.#child.kill(SIGKILL));
      void this.#child.exited.then(() => kill.cancel());
    });
    void this.#child.exited.then(() => terminate.cancel());
  }
}

async function becomeReady(
  { path, tellsReady }: LoggingRequest["address"],
  pipe: FileDescriptor,
  clock: Clock,
): Promise<void> {
  using stream = new FdStream(pipe);
  const what = { operation: "start logging program", object: path };
  const count = await withDeadline(clock, READY_MS, what, stream.read(new Uint8Array(1)));
  if (count === 0 && tellsReady) {
    throw new KataError("failed-precondition", {
      ...what,
      hint: "it ended without having told that it is ready",
    });
  }
}
