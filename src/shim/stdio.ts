/**
 * Carries the stdio of one process between containerd's FIFOs, or its streams, and the guest.
 *
 * Output: a FIFO is held open for reading too, so that a reader who goes away costs nothing and a late one still finds
 * the data. Input: it is held open for writing until CloseIO or the end, so that a client who detaches does not end it.
 * At most one chunk a stream is in memory; a slow reader slows the process down, nobody else.
 */
import { describeError, hasCode, hasErrno, KataError } from "../kata-error.ts";
import type { LastOutput, Logger, OutputStream, ProcessAddress, Sandbox } from "../sandbox/types.ts";
import { type Clock, settledWithin, type Timer } from "../sys/clock.ts";
import type { FileDescriptor } from "../sys/descriptor.ts";
import { FdStream } from "../sys/fd-stream.ts";
import {
  mkdirAll,
  O_APPEND,
  O_CREAT,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  open,
  S_IFIFO,
  S_IFMT,
  stat,
} from "../sys/files.ts";
import { LoggingProgram } from "./logging-program.ts";
import type { InputSource, NamedStreams, OutputSink } from "./named-streams.ts";
import { parseStdioAddress, type StdioAddress } from "./stdio-address.ts";
import { takeDescriptor } from "./take-descriptor.ts";

/** One message's payload at most: large enough that a message's fixed cost does not count, far below 4 MiB. */
const CHUNK_BYTES = 256 << 10;

/** A pipe holds no more; a reader waits for most of its life, and its buffer is memory of the host's for every pod. */
const INPUT_BYTES = 64 << 10;

/**
 * What a process without a terminal writes right after its start is left in the guest for this time, ms: if it ends within, its
 * output comes with its end, which saves the guest two calls while it has most to do.
 */
const HELD_MS = 100;

/** A stream that has ended before anything was read of it may have been emptied with the end of the process, ms. */
const END_MS = 1000;

/** After the process has ended, its output may stand still this long before the rest is given up, ms. */
const DRAIN_STALL_MS = 10_000;

export interface StdioPaths {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

/** The part of a sandbox that stdio needs. */
export type StdioSandbox = Pick<Sandbox, "writeStdin" | "closeStdin" | "readOutput">;

export interface StdioContext {
  /** Of containerd, for a program that takes the outputs. */
  readonly namespace: string;
  readonly streams: NamedStreams;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Some of a stream's bytes. */
interface OutputPiece {
  readonly bytes: Uint8Array;
  readonly isLast: boolean;
}

const OUTPUT_STREAMS: readonly OutputStream[] = ["stdout", "stderr"];

export class ProcessStdio implements Disposable {
  readonly #sandbox: StdioSandbox;
  readonly #process: ProcessAddress;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #streams: NamedStreams;
  readonly #isTerminal: boolean;
  readonly #held: FileDescriptor[] = [];
  readonly #outputs: { readonly stream: OutputStream; readonly sink: OutputSink }[] = [];
  #program: LoggingProgram | undefined;
  #stdin: InputSource | undefined;
  #stdinHolder: FileDescriptor | undefined;
  /** Who has the other side of a terminal sees its end only when nobody has this one open any more. */
  #stdinEndsWithProcess = false;
  #running: Promise<void>[] | undefined;
  #heldBack: Timer | undefined;
  /** Whole streams that came with the end of the process, and are still to be handed over. */
  readonly #whole = new Map<OutputStream, Uint8Array>();
  /** Streams that something was read of. */
  readonly #wasRead = new Set<OutputStream>();
  readonly #ended: Promise<void>;
  #tellEnd: () => void = () => undefined;
  #progress = 0;

  private constructor(
    sandbox: StdioSandbox,
    process: ProcessAddress,
    context: StdioContext,
    isTerminal: boolean,
  ) {
    this.#isTerminal = isTerminal;
    const { clock, logger, streams } = context;
    this.#streams = streams;
    this.#sandbox = sandbox;
    this.#process = process;
    this.#clock = clock;
    this.#logger = logger;
    this.#ended = new Promise((resolve) => {
      this.#tellEnd = resolve;
    });
  }

  /** Opens what `paths` names. @throws KataError if a path cannot be opened; nothing stays open then. */
  static async open(
    sandbox: StdioSandbox,
    process: ProcessAddress,
    paths: StdioPaths,
    context: StdioContext,
  ): Promise<ProcessStdio> {
    const stdio = new ProcessStdio(sandbox, process, context, paths.terminal);
    try {
      const stdout = parseStdioAddress(paths.stdout);
      if (stdout.kind === "program") {
        await stdio.#startProgram(stdout, paths.terminal, context);
      } else {
        stdio.#openOutput("stdout", stdout);
        // A terminal has one stream.
        if (!paths.terminal) stdio.#openOutput("stderr", parseStdioAddress(paths.stderr));
      }
      stdio.#openInput(parseStdioAddress(paths.stdin));
      return stdio;
    } catch (error) {
      stdio[Symbol.dispose]();
      throw error;
    }
  }

  /** Begins to carry; the process must have been started. */
  start(): void {
    // Who sits at a terminal waits for what it shows.
    if (this.#isTerminal) this.#carryOutputs();
    else this.#heldBack = this.#clock.after(HELD_MS, () => this.#carryOutputs());
    if (this.#stdin !== undefined) void this.#carryInput(this.#stdin);
  }

  /** The process has ended. @param output what it has written, if the guest has told. */
  finishWith(output: LastOutput | undefined): void {
    for (const stream of OUTPUT_STREAMS) {
      const bytes = output?.[stream];
      if (bytes !== undefined) this.#whole.set(stream, bytes);
    }
    this.#tellEnd();
    this.#carryOutputs();
  }

  #carryOutputs(): void {
    this.#heldBack?.cancel();
    this.#running ??= this.#outputs.map(({ stream, sink }) => this.#carryOutput(stream, sink));
  }

  /** CloseIO: what is still in the FIFO is delivered; the end comes when the client's end is closed too. */
  closeStdin(): void {
    this.#stdinHolder?.close();
    this.#stdinHolder = undefined;
  }

  /** Settles when all output has been handed over, or has stood still for too long. The process has ended. */
  async drained(): Promise<void> {
    await this.#outputDrained();
    if (this.#stdinEndsWithProcess) this.#stdin?.close();
  }

  async #outputDrained(): Promise<void> {
    this.#carryOutputs();
    const finished = Promise.all(this.#running ?? []).then(() => true);
    for (let seen = -1; seen !== this.#progress; ) {
      seen = this.#progress;
      const stalled = new Promise<boolean>((resolve) => {
        const timer = this.#clock.after(DRAIN_STALL_MS, () => resolve(false));
        finished.finally(() => timer.cancel());
      });
      if (await Promise.race([finished, stalled])) return;
    }
    this.#logger.warn("nobody reads the output of an ended process, or a child holds it open: giving it up", {
      container: this.#process.containerId,
      exec: this.#process.execId,
    });
  }

  /** Ends all carrying at once and closes everything. */
  [Symbol.dispose](): void {
    this.#heldBack?.cancel();
    this.closeStdin();
    this.#stdin?.close();
    for (const { sink } of this.#outputs) sink.close();
    this.#program?.[Symbol.dispose]();
    this.#program = undefined;
    for (const descriptor of this.#held) descriptor.close();
    this.#held.length = 0;
  }

  /** One program takes both outputs, whatever is said of stderr. */
  async #startProgram(
    address: Extract<StdioAddress, { kind: "program" }>,
    terminal: boolean,
    { namespace, clock }: StdioContext,
  ): Promise<void> {
    const { containerId } = this.#process;
    const program = await LoggingProgram.start({ address, containerId, namespace, clock });
    this.#program = program;
    this.#outputs.push({ stream: "stdout", sink: new FdStream(program.stdout) });
    if (!terminal) this.#outputs.push({ stream: "stderr", sink: new FdStream(program.stderr) });
  }

  #openOutput(stream: OutputStream, address: StdioAddress): void {
    if (address.kind === "none") return;
    if (address.kind === "program") throw onlyForStdout(stream);
    if (address.kind === "descriptor") {
      this.#outputs.push({ stream, sink: new FdStream(takeDescriptor(address, O_WRONLY)) });
      return;
    }
    if (address.kind === "stream") {
      this.#outputs.push({ stream, sink: this.#streams.output(address.name) });
      return;
    }
    if (address.kind === "file") {
      mkdirAll(address.path.replace(/\/[^/]*$/, "") || "/");
      const file = open(address.path, O_WRONLY | O_APPEND | O_CREAT, 0o644);
      this.#outputs.push({ stream, sink: new FdStream(file) });
      return;
    }
    if (!isFifo(address.path)) {
      this.#outputs.push({ stream, sink: new FdStream(open(address.path, O_WRONLY | O_APPEND)) });
      return;
    }
    this.#held.push(open(address.path, O_RDONLY | O_NONBLOCK));
    this.#outputs.push({ stream, sink: new FdStream(open(address.path, O_WRONLY | O_NONBLOCK)) });
  }

  #openInput(address: StdioAddress): void {
    if (address.kind === "none") return;
    if (address.kind === "program") throw onlyForStdout("stdin");
    if (address.kind === "descriptor") {
      this.#stdin = new FdStream(takeDescriptor(address, O_RDONLY));
      this.#stdinEndsWithProcess = true;
      return;
    }
    if (address.kind === "stream") {
      this.#stdin = this.#streams.input(address.name);
      return;
    }
    this.#stdin = new FdStream(open(address.path, O_RDONLY | O_NONBLOCK));
    if (isFifo(address.path)) this.#stdinHolder = open(address.path, O_WRONLY | O_NONBLOCK);
  }

  async #carryOutput(stream: OutputStream, sink: OutputSink): Promise<void> {
    let isLost = false;
    try {
      for (let isLast = false; !isLast; ) {
        const piece = await this.#nextPiece(stream);
        isLast = piece.isLast;
        try {
          if (piece.bytes.length > 0) await sink.write(piece.bytes);
        } catch (error) {
          if (hasCode(error, "closed")) throw error;
          // A logging program that has died, a full disk: the process must not wait for them for ever.
          if (!isLost) this.#report(`${stream} is lost`, error, "warn");
          isLost = true;
        }
        this.#progress++;
      }
    } catch (error) {
      this.#report(`carry ${stream}`, error);
    } finally {
      // The reader gets the end of the stream: the holder that is left only reads.
      sink.close();
    }
  }

  async #nextPiece(stream: OutputStream): Promise<OutputPiece> {
    const told = this.#takeWhole(stream);
    if (told !== undefined) return told;
    const bytes = await this.#sandbox.readOutput(this.#process, stream, CHUNK_BYTES);
    if (bytes.length > 0) {
      this.#wasRead.add(stream);
      return { bytes, isLast: false };
    }
    // The first question for it may have crossed the end of the process, which then brings all there was.
    if (!this.#wasRead.has(stream)) await settledWithin(this.#clock, END_MS, this.#ended);
    return this.#takeWhole(stream) ?? { bytes, isLast: true };
  }

  #takeWhole(stream: OutputStream): OutputPiece | undefined {
    const bytes = this.#whole.get(stream);
    this.#whole.delete(stream);
    return bytes === undefined ? undefined : { bytes, isLast: true };
  }

  async #carryInput(source: InputSource): Promise<void> {
    const buffer = new Uint8Array(INPUT_BYTES);
    try {
      for (;;) {
        const count = await source.read(buffer);
        if (count === 0) break;
        // Somebody may wait for an answer to what he writes.
        this.#carryOutputs();
        await this.#sandbox.writeStdin(this.#process, buffer.subarray(0, count));
      }
      await this.#sandbox.closeStdin(this.#process);
    } catch (error) {
      this.#report("carry stdin", error);
    } finally {
      source.close();
    }
  }

  #report(what: string, error: unknown, level?: "warn"): void {
    // The process, the sandbox or this object is gone; whoever waits for the exit is told there.
    const expected =
      hasCode(error, "closed", "not-found", "unavailable") || hasErrno(error, "EPIPE", "EIO", "ECONNRESET");
    this.#logger[level ?? (expected ? "debug" : "warn")](`${what}: ${describeError(error)}`, {
      container: this.#process.containerId,
      exec: this.#process.execId,
    });
  }
}

function onlyForStdout(stream: string): KataError {
  return new KataError("invalid-argument", {
    operation: "open stdio",
    object: stream,
    hint: "a program is named as stdout, and takes stderr too",
  });
}

/** A plain path may name any file; containerd itself uses FIFOs. */
function isFifo(path: string): boolean {
  return (stat(path).mode & S_IFMT) === S_IFIFO;
}
