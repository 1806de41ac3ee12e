/**
 * A running pod: its virtual machine, what the host gives it, and the containers in it.
 *
 * Three things keep it alive: the monitor, the file server and the connection to the agent. When one of them ends, the machine is
 * stopped, `exited` settles and everything is given back.
 */
import { describeError, hasCode, KataError } from "../kata-error.ts";
import {
  constrainProcess,
  constrainResources,
  constrainSpec,
  type GuestConstraints,
} from "../oci/constrain-spec.ts";
import type { Spec } from "../oci/types.ts";
import { processToMessage, resourcesToMessage, specToMessage } from "../oci/wire.ts";
import type { Clock } from "../sys/clock.ts";
import type { Rollback } from "../sys/rollback.ts";
import { isTracing } from "../sys/trace.ts";
import type { AgentClient, AgentConnection, CallOptions } from "./agent-client.ts";
import { withBundleAnnotations } from "./bundle-annotations.ts";
import { takeGuestTrace } from "./guest-trace.ts";
import type { VirtualMachine } from "./hypervisor/types.ts";
import type { MachineSizing } from "./resources/machine-sizing.ts";
import { firstEnd } from "./sandbox-end.ts";
import type { SandboxInsight } from "./sandbox-insight.ts";
import { checkId } from "./sandbox-paths.ts";
import { containerStatistics } from "./statistics.ts";
import { ContainerMounts, type PodStorage } from "./storage/container-mounts.ts";
import { grownDiskBytes } from "./storage/disk-volume.ts";
import { volumeStatistics } from "./storage/volume-statistics.ts";
import type {
  ContainerRequest,
  ContainerStatistics,
  ExecRequest,
  GuestProcess,
  IpFamily,
  Logger,
  OutputStream,
  ProcessAddress,
  ProcessEnd,
  Sandbox,
  SandboxExit,
  VolumeStatistics,
} from "./types.ts";

export interface SandboxParts {
  readonly id: string;
  readonly machine: VirtualMachine;
  readonly agent: AgentConnection;
  readonly insight: SandboxInsight;
  /** What containers get their storage from. */
  readonly storage: PodStorage;
  readonly sizing: MachineSizing;
  /** Settles with a sentence when the file server ends. */
  readonly fileServerEnded: Promise<string>;
  /** Ends the machine's processes at once; `undo` waits for their ends. */
  readonly kill: () => void;
  /** Gives everything back, the machine included. */
  readonly undo: Rollback;
  /**
   * Resolves when a container's program may run: the machine is held by the pod's limits, and the guest has what has changed in the
   * pod's network so far.
   */
  readonly settled: () => Promise<void>;
  /** What of a specification the guest can act on. */
  readonly constraints: GuestConstraints;
  /** Limit of the call that creates a container, ms. */
  readonly createContainerTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Most calls only change something in the guest; emulation and load are what this leaves room for. Upstream's value. */
const CALL: CallOptions = { timeoutMs: 60_000 };
/** Ending what is left in a guest that is about to be gone. */
const DESTROY: CallOptions = { timeoutMs: 2000 };
/** Calls that wait for something to happen. */
const UNBOUNDED: CallOptions = {};
/** Largest piece of stdin in one message: a quarter of what the protocol allows, so that others get their turn. */
const STDIN_CHUNK_BYTES = 1 << 20;
const SIGKILL = 9;

export class PodSandbox implements Sandbox {
  readonly id: string;
  readonly hypervisorPid: number;
  readonly insight: SandboxInsight;
  readonly exited: Promise<SandboxExit>;
  readonly #parts: SandboxParts;
  readonly #calls: AgentClient;
  readonly #containers = new Map<string, Promise<ContainerMounts>>();
  readonly #endedContainers = new Set<string>();
  #stopping = false;
  #giveBack: Promise<void> | undefined;
  #end: SandboxExit | undefined;

  constructor(parts: SandboxParts) {
    this.id = parts.id;
    this.hypervisorPid = parts.machine.pid;
    this.insight = parts.insight;
    this.#parts = parts;
    this.#calls = parts.agent.calls;
    this.exited = this.#watch();
  }

  /** The first reason for which this sandbox ends. */
  async #watch(): Promise<SandboxExit> {
    const { machine, agent, fileServerEnded, clock } = this.#parts;
    let reason = await firstEnd({ machine, fileServerEnded, agentClosed: agent.closed }, clock);
    const expected = this.#stopping;
    if (!expected) this.#parts.logger.error("the virtual machine has ended", { reason });
    if (expected) reason = "it was stopped";
    this.#end = { expected, reason };
    const givenBack = this.#release();
    // The machine is gone before anybody hears of it; the rest may take a little longer.
    await machine
      .stop()
      .catch((error: unknown) =>
        this.#parts.logger.error("stop the virtual machine", { error: describeError(error) }),
      );
    givenBack.catch((error: unknown) =>
      this.#parts.logger.error("give back what the sandbox used", { error: describeError(error) }),
    );
    return this.#end;
  }

  #release(): Promise<void> {
    this.#giveBack ??= this.#parts.undo.run();
    return this.#giveBack;
  }

  async createContainer(request: ContainerRequest): Promise<void> {
    this.#mustRun("create container");
    if (this.#containers.has(request.id)) {
      throw new KataError("already-exists", { operation: "create container", object: request.id });
    }
    // The place is taken while things are made for it.
    const making = ContainerMounts.create(this.#parts.storage, request);
    this.#containers.set(request.id, making);
    try {
      const mounts = await making;
      const spec = withBundleAnnotations(mounts.spec, request.bundle);
      await this.#parts.sizing.withRoomFor(request.id, request.spec.linux?.resources ?? {}, () =>
        this.#calls.createContainer(
          {
            containerId: request.id,
            OCI: specToMessage(constrainSpec(spec, this.#parts.constraints)),
            storages: mounts.storages,
            devices: mounts.devices,
            sandboxPidns: joinsPidNamespace(request.spec),
          },
          { timeoutMs: this.#parts.createContainerTimeoutMs },
        ),
      );
    } catch (error) {
      const mounts = await making.catch(() => undefined);
      await this.#takeBack(request.id, mounts);
      throw this.#explain(error, "create container");
    }
  }

  async startContainer(id: string): Promise<void> {
    // Its program may look for an address at once, which a network plug-in has set up since the creation.
    await this.#parts.settled();
    await this.#call("start container", () => this.#calls.startContainer({ containerId: id }, CALL));
  }

  async removeContainer(id: string): Promise<void> {
    const mounts = this.#containers.get(id);
    if (mounts === undefined) return;
    try {
      if (this.#end === undefined) await this.#calls.removeContainer({ containerId: id, timeout: 0 }, CALL);
    } catch (error) {
      // A guest that is gone has nothing left of it.
      if (this.#end === undefined && !hasCode(error, "not-found", "unavailable", "closed")) throw error;
    }
    await this.#takeBack(id, await mounts.catch(() => undefined));
    // Without containers the machine is about to end.
    if (this.#containers.size > 0) this.#parts.sizing.release(id);
  }

  noteEnd(id: string): void {
    this.#endedContainers.add(id);
  }

  /** Takes a container's storage back. With the machine it is gone anyway. */
  async #takeBack(id: string, mounts: ContainerMounts | undefined): Promise<void> {
    this.#containers.delete(id);
    this.#endedContainers.delete(id);
    if (this.#end === undefined) await mounts?.release();
  }

  async exec({ containerId, execId, process }: ExecRequest): Promise<void> {
    checkId(execId);
    const request = {
      containerId,
      execId,
      process: processToMessage(constrainProcess(process, this.#parts.constraints)),
    };
    await this.#call("run process", () => this.#calls.execProcess(request, CALL));
  }

  async signal({ containerId, execId }: ProcessAddress, signal: number, all: boolean): Promise<void> {
    // The agent ends every process of a container at SIGKILL to its first one.
    const target = all && signal === SIGKILL ? "" : execId;
    await this.#call("send signal", () =>
      this.#calls.signalProcess({ containerId, execId: target, signal }, CALL),
    );
  }

  async wait(process: ProcessAddress, outputBytes = 0): Promise<ProcessEnd> {
    const { status, output } = await this.#call("wait for process", () =>
      this.#calls.waitProcess({ ...process, outputBytes }, UNBOUNDED),
    );
    const end = { status: status & 0xff };
    if (output === undefined || outputBytes === 0) return end;
    const { stdout, stderr } = output;
    if (Math.max(stdout?.length ?? 0, stderr?.length ?? 0) <= outputBytes)
      return { ...end, output: { stdout, stderr } };
    throw new KataError("malformed-message", {
      operation: "wait for process",
      object: "the guest sent more output than was asked for",
    });
  }

  async writeStdin(process: ProcessAddress, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const data = bytes.subarray(at, at + STDIN_CHUNK_BYTES);
      const { len } = await this.#call("write stdin", () =>
        this.#calls.writeStdin({ ...process, data }, UNBOUNDED),
      );
      if (len <= 0 || len > data.length) {
        throw new KataError("malformed-message", {
          operation: "write stdin",
          object: `the guest took ${len} bytes`,
        });
      }
      at += len;
    }
  }

  async closeStdin(process: ProcessAddress): Promise<void> {
    await this.#call("close stdin", () => this.#calls.closeStdin(process, CALL));
  }

  async readOutput(process: ProcessAddress, stream: OutputStream, limit: number): Promise<Uint8Array> {
    const request = { ...process, len: limit };
    this.#mustRun(`read ${stream}`);
    try {
      const { data } = await (stream === "stdout"
        ? this.#calls.readStdout(request, UNBOUNDED)
        : this.#calls.readStderr(request, UNBOUNDED));
      if (data.length <= limit) return data;
    } catch (error) {
      // Agents tell the end of a stream by an error with this text.
      if (/\bEOF\b/i.test(describeError(error))) return new Uint8Array(0);
      throw this.#explain(error, `read ${stream}`);
    }
    throw new KataError("malformed-message", {
      operation: `read ${stream}`,
      object: "the guest sent more than was asked for",
    });
  }

  async resizeTerminal(
    process: ProcessAddress,
    size: { readonly rows: number; readonly columns: number },
  ): Promise<void> {
    const request = { ...process, row: size.rows, column: size.columns };
    await this.#call("resize terminal", () => this.#calls.ttyWinResize(request, CALL));
  }

  async pause(containerId: string): Promise<void> {
    await this.#call("pause container", () => this.#calls.pauseContainer({ containerId }, CALL));
  }

  async resume(containerId: string): Promise<void> {
    await this.#call("resume container", () => this.#calls.resumeContainer({ containerId }, CALL));
  }

  async update(
    containerId: string,
    resources: NonNullable<NonNullable<Spec["linux"]>["resources"]>,
  ): Promise<void> {
    const request = { containerId, resources: resourcesToMessage(constrainResources(resources)) };
    await this.#call("update container", () =>
      this.#parts.sizing.withRoomFor(containerId, resources, () =>
        this.#calls.updateContainer(request, CALL),
      ),
    );
  }

  async stats(containerId: string): Promise<ContainerStatistics> {
    return containerStatistics(
      await this.#call("read statistics", () => this.#calls.statsContainer({ containerId }, CALL)),
    );
  }

  async setPolicy(policy: string): Promise<void> {
    await this.#call("set policy", () => this.#calls.setPolicy({ policy }, CALL));
  }

  async packetFilter(family: IpFamily): Promise<Uint8Array> {
    const request = { isIpv6: family === "ipv6" };
    return (await this.#call("read packet filter", () => this.#calls.getIPTables(request, CALL))).data;
  }

  async setPacketFilter(family: IpFamily, rules: Uint8Array): Promise<Uint8Array> {
    const request = { isIpv6: family === "ipv6", data: rules };
    return (await this.#call("set packet filter", () => this.#calls.setIPTables(request, CALL))).data;
  }

  async volumeStats(path: string): Promise<VolumeStatistics> {
    const { guestPath } = this.#parts.storage.volumes.find(path);
    return volumeStatistics(
      await this.#call("read volume statistics", () =>
        this.#calls.getVolumeStats({ volumeGuestPath: guestPath }, CALL),
      ),
    );
  }

  async resizeVolume(path: string, bytes: bigint): Promise<void> {
    const { volumes, disks } = this.#parts.storage;
    const volume = volumes.find(path);
    const size = volume.isServed ? undefined : grownDiskBytes(volume.device, bytes);
    await this.#call("resize volume", async () => {
      if (size !== undefined) await disks.resize(volume.diskId, size);
      await this.#calls.resizeVolume({ volumeGuestPath: volume.guestPath, size: bytes }, CALL);
    });
  }

  async processes(containerId: string): Promise<readonly GuestProcess[]> {
    const request = { containerId, onlyProcesses: true };
    const { processes } = await this.#call("list processes", () => this.#calls.statsContainer(request, CALL));
    return processes.map(({ pid, execId }) => ({ pid, execId }));
  }

  async nextOutOfMemory(): Promise<string> {
    const { containerId } = await this.#call("wait for events", () => this.#calls.getOOMEvent({}, UNBOUNDED));
    return containerId;
  }

  async stop(): Promise<void> {
    if (!this.#stopping && this.#end === undefined) {
      this.#stopping = true;
      if (isTracing()) await takeGuestTrace(this.#calls).catch(this.#withoutTrace);
      if (this.#guestHoldsBack()) {
        // Best effort: the machine is ended next, whatever the guest says.
        await this.#calls
          .destroySandbox({}, DESTROY)
          .catch((error: unknown) =>
            this.#parts.logger.debug("destroy sandbox in the guest", { error: describeError(error) }),
          );
      } else {
        this.#parts.kill();
      }
    }
    await this.#release();
  }

  readonly #withoutTrace = (error: unknown): void =>
    this.#parts.logger.warn("the trace is without the guest", { error: describeError(error) });

  /**
   * Whether the guest has anything to bring to an end: processes, or what it has written to disks. What was written to the shared
   * directory is with the host since its files were closed.
   */
  #guestHoldsBack(): boolean {
    const isActive = [...this.#containers.keys()].some((id) => !this.#endedContainers.has(id));
    return isActive || this.#parts.storage.disks.wereUsed;
  }

  async #call<T>(operation: string, call: () => Promise<T>): Promise<T> {
    this.#mustRun(operation);
    try {
      return await call();
    } catch (error) {
      throw this.#explain(error, operation);
    }
  }

  /** What a failed call means once the machine is gone. */
  #explain(error: unknown, operation: string): unknown {
    if (this.#end === undefined) return error;
    return this.#gone(operation, this.#end, error);
  }

  #mustRun(operation: string): void {
    if (this.#end !== undefined) throw this.#gone(operation, this.#end);
  }

  #gone(operation: string, { reason }: SandboxExit, cause?: unknown): KataError {
    return new KataError("unavailable", {
      operation,
      object: `the virtual machine has ended: ${reason}`,
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

/** Containers of a pod that share processes name the pid namespace of the first one. */
function joinsPidNamespace(spec: Spec): boolean {
  const namespace = spec.linux?.namespaces?.find(({ type }) => type === "pid");
  return (namespace?.path ?? "") !== "";
}
