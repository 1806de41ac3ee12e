/**
 * The calls to the agent in the guest that a sandbox makes, as an interface: the generated client is one, and so is a fake in
 * tests. Names and fields are the protocol's (proto/agent.proto).
 */
import type { WireMessage } from "../oci/wire-reader.ts";
import type { StatsContainerResponse, VolumeStatsResponse } from "./generated.ts";
import type { GuestInterface, GuestNeighbour, GuestRoute } from "./network/guest-network.ts";
import type { GuestDevice, GuestStorage } from "./storage/guest-messages.ts";
import type { LastOutput } from "./types.ts";

export interface CallOptions {
  /** Absent: the call may take for ever. */
  readonly timeoutMs?: number;
}

interface ContainerName {
  readonly containerId: string;
}

export interface ProcessName extends ContainerName {
  readonly execId: string;
}

type Call<Request, Response = unknown> = (request: Request, options?: CallOptions) => Promise<Response>;

export interface AgentClient {
  readonly createSandbox: Call<{
    readonly hostname: string;
    readonly dns: readonly string[];
    readonly storages: readonly GuestStorage[];
    readonly sandboxPidns: boolean;
    readonly sandboxId: string;
    readonly kernelModules: readonly { readonly name: string; readonly parameters: readonly string[] }[];
    readonly prepare?: boolean;
    readonly parkInterfaces?: boolean;
    readonly trace?: boolean;
    readonly identity?: {
      readonly seed: Uint8Array;
      readonly seconds: bigint;
      readonly nanoseconds: number;
    };
    readonly interfaces?: { readonly Interfaces: readonly GuestInterface[] };
    readonly routes?: { readonly Routes: readonly GuestRoute[] };
    readonly neighbors?: { readonly ARPNeighbors: readonly GuestNeighbour[] };
  }>;
  readonly getGuestDetails: Call<
    { readonly memBlockSize: boolean; readonly memHotplugProbe: boolean },
    {
      readonly agentDetails?: { readonly extraFeatures: readonly string[] } | undefined;
      readonly memBlockSizeBytes: bigint;
    }
  >;
  readonly getDiagnosticData: Call<ContainerName & { readonly logType: string }, { readonly data: string }>;
  readonly destroySandbox: Call<Record<string, never>>;
  readonly updateInterface: Call<{ readonly interface: GuestInterface }>;
  readonly updateRoutes: Call<{ readonly routes: { readonly Routes: readonly GuestRoute[] } }>;
  readonly addARPNeighbors: Call<{
    readonly neighbors: { readonly ARPNeighbors: readonly GuestNeighbour[] };
  }>;
  readonly onlineCPUMem: Call<{ readonly wait: boolean; readonly nbCpus: number; readonly cpuOnly: boolean }>;
  readonly createContainer: Call<
    ContainerName & {
      readonly OCI: WireMessage;
      readonly storages: readonly GuestStorage[];
      readonly devices: readonly GuestDevice[];
      readonly sandboxPidns: boolean;
    }
  >;
  readonly startContainer: Call<ContainerName>;
  readonly removeContainer: Call<ContainerName & { readonly timeout: number }>;
  readonly execProcess: Call<ProcessName & { readonly process: WireMessage }>;
  readonly signalProcess: Call<ProcessName & { readonly signal: number }>;
  readonly waitProcess: Call<
    ProcessName & { readonly outputBytes?: number },
    { readonly status: number; readonly output?: LastOutput | undefined }
  >;
  readonly writeStdin: Call<ProcessName & { readonly data: Uint8Array }, { readonly len: number }>;
  readonly closeStdin: Call<ProcessName>;
  readonly readStdout: Call<ProcessName & { readonly len: number }, { readonly data: Uint8Array }>;
  readonly readStderr: Call<ProcessName & { readonly len: number }, { readonly data: Uint8Array }>;
  readonly ttyWinResize: Call<ProcessName & { readonly row: number; readonly column: number }>;
  readonly pauseContainer: Call<ContainerName>;
  readonly resumeContainer: Call<ContainerName>;
  readonly updateContainer: Call<ContainerName & { readonly resources: WireMessage }>;
  readonly setPolicy: Call<{ readonly policy: string }>;
  readonly statsContainer: Call<ContainerName & { readonly onlyProcesses?: boolean }, StatsContainerResponse>;
  readonly copyFile: Call<{
    readonly path: string;
    readonly fileSize: bigint;
    readonly fileMode: number;
    readonly dirMode: number;
    readonly uid: number;
    readonly gid: number;
    readonly offset: bigint;
    readonly data: Uint8Array;
  }>;
  readonly getVolumeStats: Call<{ readonly volumeGuestPath: string }, VolumeStatsResponse>;
  readonly getIPTables: Call<{ readonly isIpv6: boolean }, { readonly data: Uint8Array }>;
  readonly setIPTables: Call<
    { readonly isIpv6: boolean; readonly data: Uint8Array },
    { readonly data: Uint8Array }
  >;
  readonly resizeVolume: Call<{ readonly volumeGuestPath: string; readonly size: bigint }>;
  readonly addSwap: Call<{ readonly PCIPath: readonly number[] }>;
  readonly addSwapPath: Call<{ readonly path: string }>;
  readonly getMetrics: Call<Record<string, never>, { readonly metrics: string }>;
  readonly getOOMEvent: Call<Record<string, never>, { readonly containerId: string }>;
}

/** A connection to the agent. */
export interface AgentConnection {
  readonly calls: AgentClient;
  /** Asks whether the agent is there. */
  readonly check: (options?: CallOptions) => Promise<unknown>;
  /** Settles when the connection has ended, for whatever reason. Never rejects. */
  readonly closed: Promise<void>;
  close(): void;
}
