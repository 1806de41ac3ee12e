/** A sandbox without a machine: a test says what happens in the guest, and sees what was asked of it. */
import { KataError } from "../../kata-error.ts";
import type { SandboxInsight } from "../../sandbox/sandbox-insight.ts";
import type {
  ContainerRequest,
  ContainerStatistics,
  ExecRequest,
  GuestProcess,
  IpFamily,
  LastOutput,
  ProcessAddress,
  ProcessEnd,
  Sandbox,
  SandboxExit,
  VolumeStatistics,
} from "../../sandbox/types.ts";
import { Durations } from "../../sys/metrics/prometheus-text.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";

const STATISTICS: ContainerStatistics = {
  cpu: { total: 1, user: 1, system: 0, perCpu: [], periods: 0, throttledPeriods: 0, throttledTime: 0 },
  memory: {
    usage: 4096,
    maximumUsage: 8192,
    limit: 2 ** 63,
    failures: 0,
    cache: 0,
    swapUsage: 0,
    swapLimit: 0,
    kernelUsage: 0,
    details: {},
  },
  pids: { current: 1, limit: 0 },
  blockIo: { serviceBytes: [], serviced: [] },
  hugePages: {},
  network: [],
};

const keyOf = ({ containerId, execId }: ProcessAddress) => `${containerId}/${execId}`;

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<T>((resolveIt, rejectIt) => {
    resolve = resolveIt;
    reject = rejectIt;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

export class FakeSandbox implements Sandbox {
  readonly id: string;
  readonly hypervisorPid = 4711;
  /** How the agent is reached. */
  agentUrl: string | undefined = "vsock://3:1024";
  readonly insight: SandboxInsight = {
    agentCalls: new Durations(),
    guestMetrics: async () => "kata_guest_load 1\n",
    consoleLines: () => ["first line", "second line"],
    describe: () => ({
      id: this.id,
      hypervisor: "qemu",
      origin: "booted",
      startedAt: 0,
      vcpus: 1,
      memoryMib: 256,
      processes: [{ name: "QEMU", pid: this.hypervisorPid }],
      agentUrl: this.agentUrl,
      networkNamespace: undefined,
      cgroups: [],
      files: { configuration: [], monitor: "/usr/bin/qemu", kernel: "/kernel", image: "", initrd: "/initrd" },
      annotations: {},
    }),
  };
  readonly exited: Promise<SandboxExit>;
  /** What was asked, in order. */
  readonly asked: string[] = [];
  /** Errors that calls fail with, by their names. */
  readonly failures = new Map<string, KataError>();
  readonly execs: ExecRequest[] = [];
  readonly containers: ContainerRequest[] = [];
  /** What the guest says of any container. */
  guestProcesses: readonly GuestProcess[] = [];
  /** What the creation of a container waits for. */
  createGate: Promise<void> = Promise.resolve();
  /** What a start of a container waits for. */
  startGate: Promise<void> = Promise.resolve();
  /** What giving back waits for, once the machine is gone. */
  giveBackGate: Promise<void> = Promise.resolve();
  /** Set: a signal ends the process, with 128 more than its number. */
  diesOfSignals = true;
  /** What comes with the end of a process. */
  lastOutput: LastOutput | undefined;
  readonly #exits = new Map<string, Deferred<number>>();
  readonly #end = deferred<SandboxExit>();
  #shortage = deferred<string>();
  #ended = false;

  constructor(id: string) {
    this.id = id;
    this.exited = this.#end.promise;
  }

  /** The process ends by itself. */
  exit(containerId: string, status: number, execId = ""): void {
    this.#exit({ containerId, execId }).resolve(status);
  }

  /** The machine ends by itself. */
  die(): void {
    this.#endWith({ expected: false, reason: "it was killed" });
  }

  /** The guest's kernel ends a process of the container for want of memory. */
  runOutOfMemory(containerId: string): void {
    const shortage = this.#shortage;
    this.#shortage = deferred();
    shortage.resolve(containerId);
  }

  async createContainer(request: ContainerRequest): Promise<void> {
    await this.createGate;
    this.#ask("create", request.id);
    this.containers.push(request);
  }

  async startContainer(id: string): Promise<void> {
    await this.startGate;
    this.#ask("start", id);
  }

  async removeContainer(id: string): Promise<void> {
    this.asked.push(`remove ${id}`);
  }

  noteEnd(id: string): void {
    this.asked.push(`end ${id}`);
  }

  async exec(request: ExecRequest): Promise<void> {
    this.#ask("exec", keyOf(request));
    this.execs.push(request);
  }

  async signal(process: ProcessAddress, signal: number, all: boolean): Promise<void> {
    this.#ask("signal", `${keyOf(process)} ${signal}${all ? " all" : ""}`);
    if (this.diesOfSignals) this.#exit(process).resolve(128 + signal);
  }

  async wait(process: ProcessAddress): Promise<ProcessEnd> {
    const status = await this.#exit(process).promise;
    return this.lastOutput === undefined ? { status } : { status, output: this.lastOutput };
  }

  async writeStdin(): Promise<void> {
    this.#ask("write", "");
  }

  async closeStdin(process: ProcessAddress): Promise<void> {
    this.#ask("close-stdin", keyOf(process));
  }

  async readOutput(): Promise<Uint8Array> {
    return new Uint8Array(0);
  }

  async resizeTerminal(
    process: ProcessAddress,
    { rows, columns }: { readonly rows: number; readonly columns: number },
  ): Promise<void> {
    this.#ask("resize", `${keyOf(process)} ${rows}x${columns}`);
  }

  async pause(containerId: string): Promise<void> {
    this.#ask("pause", containerId);
  }

  async resume(containerId: string): Promise<void> {
    this.#ask("resume", containerId);
  }

  async update(containerId: string, resources: object): Promise<void> {
    this.#ask("update", `${containerId} ${JSON.stringify(resources)}`);
  }

  async stats(containerId: string): Promise<ContainerStatistics> {
    this.#ask("stats", containerId);
    return STATISTICS;
  }

  async setPolicy(policy: string): Promise<void> {
    this.#ask("set policy", policy);
  }

  async packetFilter(family: IpFamily): Promise<Uint8Array> {
    this.#ask("packet-filter", family);
    return utf8Encode(`# rules of ${family}\n`);
  }

  async setPacketFilter(family: IpFamily, rules: Uint8Array): Promise<Uint8Array> {
    this.#ask("set-packet-filter", `${family} ${utf8Decode(rules)}`);
    return new Uint8Array(0);
  }

  async volumeStats(path: string): Promise<VolumeStatistics> {
    this.#ask("volume-stats", path);
    return {
      usage: [
        { unit: "bytes", total: 1000n, available: 600n, used: 400n },
        { unit: "inodes", total: 10n, available: 7n, used: 3n },
      ],
      condition: { abnormal: false, message: "OK" },
    };
  }

  async resizeVolume(path: string, bytes: bigint): Promise<void> {
    this.#ask("resize-volume", `${path} ${bytes}`);
  }

  async processes(): Promise<readonly GuestProcess[]> {
    return this.guestProcesses;
  }

  nextOutOfMemory(): Promise<string> {
    return this.#shortage.promise;
  }

  async stop(): Promise<void> {
    this.asked.push("stop");
    this.#endWith({ expected: true, reason: "it was stopped" });
    await this.giveBackGate;
  }

  #ask(verb: string, object: string): void {
    this.asked.push(`${verb} ${object}`);
    const failure = this.failures.get(verb);
    if (failure !== undefined) throw failure;
    if (this.#ended) throw gone();
  }

  #exit(process: ProcessAddress): Deferred<number> {
    const key = keyOf(process);
    const known = this.#exits.get(key) ?? deferred<number>();
    this.#exits.set(key, known);
    if (this.#ended) known.reject(gone());
    return known;
  }

  #endWith(exit: SandboxExit): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const each of this.#exits.values()) each.reject(gone());
    this.#shortage.reject(gone());
    this.#end.resolve(exit);
  }
}

function gone(): KataError {
  return new KataError("unavailable", { operation: "call guest", object: "the virtual machine has ended" });
}
