/** What the tools of the host's administrator are told of a running sandbox, beside what containers need of it. */
import type { Durations } from "../sys/metrics/prometheus-text.ts";
import type { AgentClient } from "./agent-client.ts";
import { readCrashRecord } from "./crash-record.ts";
import type { AgentChannel, VirtualMachine } from "./hypervisor/types.ts";
import { sandboxPaths } from "./sandbox-paths.ts";
import type { SandboxRequest } from "./types.ts";

/** What a sandbox was made of, and what it is now. */
export interface SandboxDescription {
  readonly id: string;
  /** The driver: `qemu`, `clh`, … */
  readonly hypervisor: string;
  /** How the machine came to be: `booted`, `cloned`, … */
  readonly origin: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly vcpus: number;
  readonly memoryMib: number;
  /** Programs of the host that it consists of, the monitor among them. */
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
  readonly agentUrl: string | undefined;
  readonly networkNamespace: string | undefined;
  readonly cgroups: readonly string[];
  /** Files that it was configured by and booted from; empty for none. */
  readonly files: {
    readonly configuration: readonly string[];
    readonly monitor: string;
    readonly kernel: string;
    readonly image: string;
    readonly initrd: string;
  };
  /** Of the pod's first container. */
  readonly annotations: Readonly<Record<string, string>>;
}

export interface SandboxInsight {
  describe(): SandboxDescription;
  /** Figures of agent and guest, as Prometheus reads them. @throws KataError as every call of the agent. */
  guestMetrics(): Promise<string>;
  /** The last lines of the guest's console, oldest first. */
  consoleLines(): readonly string[];
  /** How long calls of the agent took. */
  readonly agentCalls: Durations;
}

/** The guest may be busy, ms; who scrapes waits ten seconds at most. */
const METRICS_MS = 8000;

export interface InsightParts {
  readonly request: SandboxRequest;
  readonly machine: VirtualMachine;
  readonly calls: AgentClient;
  readonly origin: string;
  readonly agentCalls: Durations;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
}

export function sandboxInsight(parts: InsightParts): SandboxInsight {
  const { request, machine, calls, origin, agentCalls, startedAt } = parts;
  const { id, configuration, spec } = request;
  const { driver, hypervisor, sources } = configuration;
  return {
    agentCalls,
    describe() {
      const record = readCrashRecord(sandboxPaths(id));
      return {
        id,
        hypervisor: driver,
        origin,
        startedAt,
        vcpus: machine.size.vcpus,
        memoryMib: machine.size.memoryMib,
        processes: (record?.processes ?? []).map(({ name, pid }) => ({ name, pid })),
        agentUrl: agentUrl(machine.agentChannel),
        networkNamespace: record?.networkNamespace,
        cgroups: record?.cgroups ?? [],
        files: {
          configuration: sources,
          monitor: hypervisor.path,
          kernel: hypervisor.kernel,
          image: hypervisor.image,
          initrd: hypervisor.image === "" ? hypervisor.initrd : "",
        },
        annotations: spec.annotations ?? {},
      };
    },
    guestMetrics: async () => (await calls.getMetrics({}, { timeoutMs: METRICS_MS })).metrics,
    consoleLines: () => machine.consoleLines?.() ?? machine.lastOutput().split(" | "),
  };
}

/** As upstream's tools read it; undefined for an agent that only this process can reach. */
export function agentUrl(channel: AgentChannel): string | undefined {
  switch (channel.kind) {
    case "stream":
      return undefined;
    case "vsock":
      return `vsock://${channel.cid}:${channel.port}`;
    case "hybrid-vsock":
      return `hvsock://${channel.path}:${channel.port}`;
  }
}

/** The same calls; how long each took is noted. */
export function timed(calls: AgentClient, durations: Durations, now: () => number): AgentClient {
  const timedCalls = Object.entries(calls).map(([name, call]) => {
    const request = `grpc.${name.charAt(0).toUpperCase()}${name.slice(1)}Request`;
    return [
      name,
      (...args: Parameters<typeof call>) => {
        const began = now();
        const answer = (call as (...args: unknown[]) => Promise<unknown>)(...args);
        const note = () => durations.observe(request, now() - began);
        answer.then(note, note);
        return answer;
      },
    ];
  });
  return Object.fromEntries(timedCalls) as AgentClient;
}
