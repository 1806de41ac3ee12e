/** The agent as a process of this machine, and a client of it that speaks as a host does. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type AgentServiceClient,
  agentServiceClient,
  type CopyFileRequestInput,
  type StorageInput,
} from "../../../build/generated/agent.ts";
import { VolumeUsageUnit } from "../../../build/generated/csi.ts";
import { HealthCheckResponseServingStatus, healthClient } from "../../../build/generated/health.ts";
import type { Spec } from "../../../src/oci/types.ts";
import { specToMessage } from "../../../src/oci/wire.ts";
import { TtrpcClient } from "../../../src/rpc/client.ts";
import { eventually } from "../../harness/eventually.ts";
import { nodeByteStream, nodeClock } from "../../harness/node-byte-stream.ts";
import {
  agentCgroups,
  descendantsOf,
  type Footprint,
  footprintOf,
  isAlive,
  leftBehind,
} from "./agent-footprint.ts";
import { type ProcessResult, TestContainer } from "./container.ts";

export const AGENT_BINARY = join(dirname(fileURLToPath(import.meta.url)), "../../../build/bin/kata-agent");
/** The agent starts in milliseconds; the machine may be busy. */
const START_DEADLINE_MS = 10_000;
const END_DEADLINE_MS = 10_000;
/** Some calls wait for ever when they are understood. */
const RAW_CALL_DEADLINE_MS = 200;

export interface SandboxOptions {
  readonly hostname?: string;
  readonly dns?: readonly string[];
  readonly storages?: readonly StorageInput[];
  readonly sharedPidNamespace?: boolean;
  readonly guestHookPath?: string;
}

export interface ContainerOptions {
  readonly storages?: readonly StorageInput[];
  readonly sharedPidNamespace?: boolean;
}

/**
 * Starts an agent of its own; disposing of it ends it and checks that nothing is left.
 *
 * @param env more of its environment.
 */
export async function startAgent(env: NodeJS.ProcessEnv = {}): Promise<TestAgent> {
  const directory = mkdtempSync(join(tmpdir(), "kata-agent-"));
  const socketPath = join(directory, "agent.sock");
  const child = spawn(AGENT_BINARY, ["--server-addr", `unix://${socketPath}`], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...env },
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  try {
    const socket = await eventually(
      "the agent listens",
      START_DEADLINE_MS,
      () => {
        if (child.exitCode !== null) throw new Error(`the agent ended with ${child.exitCode}: ${log}`);
        return connected(socketPath);
      },
      () => log,
    );
    return new TestAgent(child, directory, socketPath, socket, () => log);
  } catch (error) {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/** A connection, or undefined if nobody listens. */
function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket)).once("error", () => resolve(undefined));
  });
}

export class TestAgent implements AsyncDisposable {
  readonly socketPath: string;
  readonly #child: ChildProcess;
  readonly #directory: string;
  readonly #client: TtrpcClient;
  readonly #service: AgentServiceClient;
  readonly #exited: Promise<number>;
  readonly #log: () => string;
  #containers = 0;

  constructor(child: ChildProcess, directory: string, socketPath: string, socket: Socket, log: () => string) {
    this.socketPath = socketPath;
    this.#child = child;
    this.#directory = directory;
    this.#log = log;
    this.#client = new TtrpcClient(nodeByteStream(socket), { clock: nodeClock });
    this.#service = agentServiceClient(this.#client);
    this.#exited = new Promise((resolve) => {
      child.once("exit", (code) => resolve(code ?? 128));
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error("the agent has no pid");
    return this.#child.pid;
  }

  /** Creates a container from `spec`, which its disposal removes. Without an id it gets one of its own. */
  async create(spec: Spec, id?: string, options: ContainerOptions = {}): Promise<TestContainer> {
    const containerId = id ?? `container-${++this.#containers}`;
    await this.#service.createContainer({
      containerId,
      OCI: specToMessage(spec),
      storages: options.storages,
      sandboxPidns: options.sharedPidNamespace,
    });
    return this.container(containerId);
  }

  /** A container that may be there. */
  container(id: string): TestContainer {
    return new TestContainer(this.#service, id, () => this.childProcesses());
  }

  /** Runs a container to its end and removes it. */
  async run(spec: Spec): Promise<ProcessResult> {
    await using container = await this.create(spec);
    await container.start();
    return await container.result();
  }

  /** The agent's calls as they are. */
  get calls(): AgentServiceClient {
    return this.#service;
  }

  async check(): Promise<string> {
    const { status } = await healthClient(this.#client).check({});
    return nameIn(HealthCheckResponseServingStatus, status);
  }

  async version(): Promise<{ readonly protocol: string; readonly agent: string }> {
    const { grpcVersion, agentVersion } = await healthClient(this.#client).version({});
    return { protocol: grpcVersion, agent: agentVersion };
  }

  async guestDetails() {
    const { agentDetails } = await this.#service.getGuestDetails({ memBlockSize: false });
    if (agentDetails === undefined) throw new Error("the agent gave no details");
    return agentDetails;
  }

  async metrics(): Promise<string> {
    return (await this.#service.getMetrics({})).metrics;
  }

  async createSandbox(options: SandboxOptions): Promise<void> {
    const { hostname = "", dns = [], storages = [], sharedPidNamespace = false, guestHookPath } = options;
    await this.#service.createSandbox({
      sandboxId: "pod",
      hostname,
      dns,
      storages,
      sandboxPidns: sharedPidNamespace,
      guestHookPath,
    });
  }

  async resizeVolume(path: string, size: number): Promise<void> {
    await this.#service.resizeVolume({ volumeGuestPath: path, size });
  }

  async destroySandbox(): Promise<void> {
    await this.#service.destroySandbox({});
  }

  async updateEphemeralMounts(storages: readonly StorageInput[]): Promise<void> {
    await this.#service.updateEphemeralMounts({ storages });
  }

  async copyFile(request: CopyFileRequestInput): Promise<void> {
    await this.#service.copyFile(request);
  }

  async reseed(data: Uint8Array): Promise<void> {
    await this.#service.reseedRandomDev({ data });
  }

  async addSwap(): Promise<void> {
    await this.#service.addSwap({ PCIPath: [1] });
  }

  async volumeStats(path: string) {
    const { usage } = await this.#service.getVolumeStats({ volumeGuestPath: path });
    return usage.map(({ unit, total, used, available }) => ({
      unit: nameIn(VolumeUsageUnit, unit),
      total: Number(total),
      used: Number(used),
      available: Number(available),
    }));
  }

  /** Calls a method of the agent's service with any bytes. */
  async callRaw(method: string, payload: Uint8Array): Promise<void> {
    await this.#client.call("grpc.AgentService", method, payload, { timeoutMs: RAW_CALL_DEADLINE_MS });
  }

  /** The id of the next container that runs out of memory. */
  async nextOom(): Promise<string> {
    return (await this.#service.getOOMEvent({})).containerId;
  }

  /** What the agent has on the machine now. */
  state(): Footprint {
    return footprintOf(this.pid);
  }

  /** Waits until nothing is there that {@link state} did not have `before`. */
  async settled(before: Footprint): Promise<void> {
    const left = () => leftBehind(before, this.state());
    await eventually(
      "the agent has left nothing",
      END_DEADLINE_MS,
      () => Object.keys(left()).length === 0 || undefined,
      () => `left behind: ${JSON.stringify(left(), undefined, 1)}`,
    );
  }

  /** Pids of its processes, at any depth. */
  childProcesses(): number[] {
    return descendantsOf(this.pid).filter(isAlive);
  }

  residentBytes(): number {
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))?.[1];
    return Number(kibibytes) * 1024;
  }

  /** Closes the connection. */
  hangUp(): void {
    this.#client.close();
  }

  terminate(): void {
    this.#child.kill("SIGTERM");
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** The exit status of the agent; 128 if a signal ended it. */
  exited(): Promise<number> {
    return this.#exited;
  }

  /** Waits until none of `pids` is alive. */
  async gone(pids: readonly number[]): Promise<void> {
    await eventually("the processes end", END_DEADLINE_MS, () => (pids.some(isAlive) ? undefined : true));
  }

  /** Fails if the agent, which has ended, has left processes or cgroups. */
  async expectNothingLeft(): Promise<void> {
    const left = agentCgroups(this.pid);
    if (left.length > 0) throw new Error(`the agent has left cgroups: ${left.join(", ")}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const running = this.#child.exitCode === null && this.#child.signalCode === null;
    const children = running ? this.childProcesses() : [];
    this.#client.close();
    try {
      if (!running) return;
      this.terminate();
      await eventually(
        "the agent ends",
        END_DEADLINE_MS,
        () => this.#child.exitCode ?? this.#child.signalCode ?? undefined,
        this.#log,
      );
      await this.gone(children);
      await this.expectNothingLeft();
      if (this.#child.exitCode !== 0) throw new Error(`the agent ended badly: ${this.#log()}`);
    } finally {
      this.kill();
      removeCgroups(this.pid);
      rmSync(this.#directory, { recursive: true, force: true });
    }
  }
}

/** What a killed agent leaves; its processes have ended. */
function removeCgroups(pid: number): void {
  for (const directory of agentCgroups(pid).reverse()) rmdirSync(directory);
}

function nameIn(values: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(values).find(([, number]) => number === value)?.[0] ?? String(value);
}
