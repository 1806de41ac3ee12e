/** A container of a test's agent, and its processes. */
import type { AgentServiceClient, UpdateContainerRequestInput } from "../../../build/generated/agent.ts";
import { KataError } from "../../../src/kata-error.ts";
import type { LinuxResources, Process } from "../../../src/oci/types.ts";
import { processToMessage, resourcesToMessage } from "../../../src/oci/wire.ts";
import { CAPABILITIES } from "./container-spec.ts";

export type OutputStream = "stdout" | "stderr";

export interface ProcessResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Bytes of one read. */
const READ_BYTES = 64 << 10;
/** How long a stream is silent when nothing more is in its pipe, ms. */
const SILENCE_MS = 100;
const SIGKILL = 9;
/** Of a removal, seconds. */
const REMOVE_TIMEOUT_S = 10;

/** The text that the agent answers the end of a stream with. */
const END_OF_STREAM = /EOF/;

/** One process: a container's first, or an exec. */
export class TestProcess {
  protected readonly service: AgentServiceClient;
  /** Of the container. */
  readonly id: string;
  readonly execId: string;
  /** Reads that the agent has not answered when a test stopped to wait: the next reader gets their bytes. */
  readonly #pending = new Map<OutputStream, Promise<Buffer>>();

  constructor(service: AgentServiceClient, id: string, execId: string) {
    this.service = service;
    this.id = id;
    this.execId = execId;
  }

  get #name() {
    return { containerId: this.id, execId: this.execId };
  }

  async wait(): Promise<number> {
    return (await this.service.waitProcess(this.#name)).status;
  }

  async signal(signal: number): Promise<void> {
    await this.service.signalProcess({ ...this.#name, signal });
  }

  async writeStdin(data: Uint8Array): Promise<void> {
    await this.service.writeStdin({ ...this.#name, data });
  }

  async closeStdin(): Promise<void> {
    await this.service.closeStdin(this.#name);
  }

  async resize(rows: number, columns: number): Promise<void> {
    await this.service.ttyWinResize({ ...this.#name, row: rows, column: columns });
  }

  /** The next bytes, at most `length`; none at the end of the stream. */
  read(stream: OutputStream, length = READ_BYTES): Promise<Buffer> {
    const pending = this.#pending.get(stream);
    if (pending === undefined) return this.#readOnce(stream, length);
    this.#pending.delete(stream);
    return pending;
  }

  async #readOnce(stream: OutputStream, len: number): Promise<Buffer> {
    const request = { ...this.#name, len };
    try {
      const { data } = await (stream === "stdout"
        ? this.service.readStdout(request)
        : this.service.readStderr(request));
      return Buffer.from(data);
    } catch (error) {
      if (error instanceof KataError && END_OF_STREAM.test(error.message)) return Buffer.alloc(0);
      throw error;
    }
  }

  async readAll(stream: OutputStream): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for (;;) {
      const chunk = await this.read(stream);
      if (chunk.length === 0) return Buffer.concat(chunks);
      chunks.push(chunk);
    }
  }

  /** Reads until `text` has come; the result ends with the read that brought it. */
  async readUntil(stream: OutputStream, text: string): Promise<Buffer> {
    let all = Buffer.alloc(0);
    while (!all.includes(text)) {
      const chunk = await this.read(stream);
      if (chunk.length === 0) throw new Error(`${stream} ended after ${JSON.stringify(all.toString())}`);
      all = Buffer.concat([all, chunk]);
    }
    return all;
  }

  /** Whether anything comes within `ms`. */
  async readWithin(stream: OutputStream, ms: number): Promise<"something" | "nothing"> {
    const reading = this.read(stream);
    this.#pending.set(stream, reading);
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<"nothing">((resolve) => {
      timer = setTimeout(() => resolve("nothing"), ms);
    });
    const heard = reading.then((chunk): "something" | "nothing" => {
      this.#pending.delete(stream);
      return chunk.length > 0 ? "something" : "nothing";
    });
    try {
      return await Promise.race([heard, silence]);
    } finally {
      clearTimeout(timer);
      // A later reader hears of the failure.
      heard.catch(() => undefined);
    }
  }

  /** Reads until nothing more comes. */
  async drain(stream: OutputStream): Promise<void> {
    while ((await this.readWithin(stream, SILENCE_MS)) === "something");
  }

  /** Its output and status, read together so that it never waits for a reader. */
  async result(): Promise<ProcessResult> {
    const [stdout, stderr, status] = await Promise.all([
      this.readAll("stdout"),
      this.readAll("stderr"),
      this.wait(),
    ]);
    return { status, stdout: stdout.toString(), stderr: stderr.toString() };
  }
}

export class TestContainer extends TestProcess implements AsyncDisposable {
  readonly #processes: () => number[];

  /** @param processes the pids of all processes of the agent. */
  constructor(service: AgentServiceClient, id: string, processes: () => number[]) {
    super(service, id, "");
    this.#processes = processes;
  }

  async start(): Promise<void> {
    await this.service.startContainer({ containerId: this.id });
  }

  /** Runs `args` in it to the end. */
  async exec(execId: string, args: readonly string[], more: Partial<Process> = {}): Promise<ProcessResult> {
    return await (await this.startExec(execId, args, more)).result();
  }

  async startExec(
    execId: string,
    args: readonly string[],
    more: Partial<Process> = {},
  ): Promise<TestProcess> {
    const process: Process = {
      user: { uid: 0, gid: 0 },
      args,
      env: ["PATH=/bin"],
      cwd: "/",
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      noNewPrivileges: true,
      ...more,
    };
    await this.service.execProcess({ containerId: this.id, execId, process: processToMessage(process) });
    return new TestProcess(this.service, this.id, execId);
  }

  async pause(): Promise<void> {
    await this.service.pauseContainer({ containerId: this.id });
  }

  async resume(): Promise<void> {
    await this.service.resumeContainer({ containerId: this.id });
  }

  async update(resources: LinuxResources): Promise<void> {
    const message: UpdateContainerRequestInput["resources"] = resourcesToMessage(resources);
    await this.service.updateContainer({ containerId: this.id, resources: message });
  }

  /** The figures that tests look at. */
  async stats() {
    const { cgroupStats } = await this.service.statsContainer({ containerId: this.id });
    return {
      cpuTotal: Number(cgroupStats?.cpuStats?.cpuUsage?.totalUsage),
      throttledPeriods: Number(cgroupStats?.cpuStats?.throttlingData?.throttledPeriods),
      memoryUsage: Number(cgroupStats?.memoryStats?.usage?.usage),
      memoryLimit: Number(cgroupStats?.memoryStats?.usage?.limit),
      pidsCurrent: Number(cgroupStats?.pidsStats?.current),
      pidsLimit: Number(cgroupStats?.pidsStats?.limit),
    };
  }

  async isRunning(): Promise<boolean> {
    const ended = await Promise.race([
      this.wait().then(() => true),
      new Promise<false>((resolve) => setTimeout(() => resolve(false), SILENCE_MS)),
    ]);
    return !ended;
  }

  /** The pids of all processes of the agent, which has no other container in such a test. */
  processes(): number[] {
    return this.#processes();
  }

  async remove(): Promise<void> {
    await this.service.removeContainer({ containerId: this.id, timeout: REMOVE_TIMEOUT_S });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.signal(SIGKILL);
    await this.remove();
  }
}
