/**
 * One process of a container, its first or an exec: its state, how it is started, its streams, and who waits for its end.
 */
import { hasCode, KataError } from "../../kata-error.ts";
import type { LastOutput, ProcessAddress } from "../../sandbox/types.ts";
import { type Exit, follow, type ProcessState, type Verb } from "../process-state.ts";
import type { StdioPaths } from "../stdio.ts";

/** The streams of a process, as {@link ContainedProcess} uses them. */
export interface ProcessStreams extends Disposable {
  start(): void;
  /** The process has ended; what it has written, if that came with its end, is handed over. */
  finishWith(output: LastOutput | undefined): void;
  closeStdin(): void;
  drained(): Promise<void>;
}

/** Characters. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export interface ProcessParts {
  readonly address: ProcessAddress;
  readonly paths: StdioPaths;
  readonly openStreams: () => Promise<ProcessStreams>;
  /** Starts it in the guest. @param size of its terminal, if somebody has told it already. */
  readonly launch: (size: TerminalSize | undefined) => Promise<void>;
  /** Gives its terminal another size. */
  readonly resize: (size: TerminalSize) => Promise<void>;
}

export class ContainedProcess {
  readonly address: ProcessAddress;
  readonly paths: StdioPaths;
  /** Settles once it has ended and its output has been handed over. Never rejects. */
  readonly exited: Promise<Exit>;
  readonly #parts: ProcessParts;
  #state: ProcessState = { name: "created" };
  #starting: Promise<void> | undefined;
  #size: TerminalSize | undefined;
  #streams: ProcessStreams | undefined;
  #stdinEnded = false;
  #watched = false;
  #tellExit: (exit: Exit) => void = () => undefined;

  constructor(parts: ProcessParts) {
    this.#parts = parts;
    this.address = parts.address;
    this.paths = parts.paths;
    this.exited = new Promise((resolve) => {
      this.#tellExit = resolve;
    });
  }

  get state(): ProcessState {
    return this.#state;
  }

  /** As messages show it. */
  get name(): string {
    const { containerId, execId } = this.address;
    return execId === "" ? containerId : `${execId} in ${containerId}`;
  }

  /**
   * Starts it.
   *
   * @throws KataError `failed-precondition` unless it is created; what the guest says if it cannot be started.
   */
  async start(): Promise<void> {
    this.check({ do: "start" });
    if (this.#starting !== undefined) {
      throw new KataError("failed-precondition", {
        operation: "start process",
        object: "it is being started",
      });
    }
    const work = this.#launch();
    this.#starting = work.then(
      () => undefined,
      () => undefined,
    );
    try {
      await work;
    } finally {
      this.#starting = undefined;
    }
  }

  async #launch(): Promise<void> {
    const streams = await this.openStreams();
    const size = this.#size;
    try {
      await this.#parts.launch(size);
      this.become({ do: "start" });
    } catch (error) {
      // Clients wait for the end of the streams of what could not be started.
      this.closeStreams();
      throw error;
    }
    streams.start();
    if (this.#size !== undefined && this.#size !== size) await this.#resizeLate(this.#size);
  }

  /** The size that was told while it was being started. */
  async #resizeLate(size: TerminalSize): Promise<void> {
    try {
      await this.#parts.resize(size);
    } catch (error) {
      // It has ended already, and needs none.
      if (!hasCode(error, "not-found", "failed-precondition", "unavailable")) throw error;
    }
  }

  /**
   * Opens its streams, if they are not open. From then on a client's input flows; one that ends it before the client has the
   * process's name cannot tell us so.
   */
  async openStreams(): Promise<ProcessStreams> {
    const streams = this.#streams ?? (await this.#parts.openStreams());
    this.#streams = streams;
    if (this.#stdinEnded) streams.closeStdin();
    return streams;
  }

  /** Settles when a start that is under way has succeeded or failed. Never rejects. */
  startSettled(): Promise<void> {
    return this.#starting ?? Promise.resolve();
  }

  /** @throws KataError `failed-precondition` if `verb` makes no sense now. */
  check(verb: Verb): void {
    follow(this.#state, verb);
  }

  /** Changes the state. @throws KataError `failed-precondition` if `verb` makes no sense now. */
  become(verb: Exclude<Verb, { do: "exit" }>): void {
    this.#state = follow(this.#state, verb);
  }

  /** Keeps the size for the start; @returns false if it has been started, so that the guest has to be told. */
  keepSize(size: TerminalSize): boolean {
    if (this.#state.name !== "created") return false;
    this.#size = size;
    return true;
  }

  /** @returns true the first time: the caller is who waits for its end from now on. */
  claimWatch(): boolean {
    const first = !this.#watched;
    this.#watched = true;
    return first;
  }

  /** It has ended: tells everybody, once. @returns false if it had ended before. */
  finish(exit: Exit): boolean {
    if (this.#state.name === "stopped") return false;
    this.#state = follow(this.#state, { do: "exit", exit });
    this.#tellExit(exit);
    return true;
  }

  closeStdin(): void {
    this.#stdinEnded = true;
    this.#streams?.closeStdin();
  }

  finishWith(output: LastOutput | undefined): void {
    this.#streams?.finishWith(output);
  }

  async drained(): Promise<void> {
    await this.#streams?.drained();
  }

  closeStreams(): void {
    this.#streams?.[Symbol.dispose]();
    this.#streams = undefined;
  }
}
