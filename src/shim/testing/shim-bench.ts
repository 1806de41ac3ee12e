/** The task service of a shim without containerd, kernel and machine. */
import { type Configuration, defaultConfiguration } from "../../config/index.ts";
import type { KataError } from "../../kata-error.ts";
import type { Hooks, Spec } from "../../oci/types.ts";
import type { CallContext } from "../../rpc/types.ts";
import type { ContainerStatistics, SandboxRequest } from "../../sandbox/types.ts";
import { CancelSource } from "../../sys/cancellation.ts";
import { FakeClock } from "../../sys/testing/fake-clock.ts";
import type { SandboxHandlers, TaskHandlers } from "../generated.ts";
import { encodeMetricsV1 } from "../generated.ts";
import { METRICS_V1_TYPE, metricsV1 } from "../metrics/metrics-v1.ts";
import { Pod, type PodParts } from "../pod/pod.ts";
import { ControlledSandbox } from "../sandbox-api/controlled-sandbox.ts";
import { sandboxHandlers } from "../sandbox-api/sandbox-service.ts";
import { taskHandlers } from "../task/task-service.ts";
import { decodeEvent } from "./decode-event.ts";
import { FakeSandbox } from "./fake-sandbox.ts";

export const SHIM_PID = 99;
/** The wall clock of these shims stands still, ms since 1970. */
export const NOW_MS = 1_700_000_000_250;

/** A call that nobody gives up. */
export const CALL: CallContext = { signal: new CancelSource().signal, metadata: new Map() };

export class ShimBench {
  readonly clock = new FakeClock();
  /** What containerd was told: topic and message. */
  readonly events: { readonly topic: string; readonly [field: string]: unknown }[] = [];
  /** What the process's streams were told, by `container/exec`. */
  readonly streams: string[] = [];
  /** Specifications by bundle. */
  readonly specs = new Map<string, Spec>();
  /** Bundles that have a sandbox. */
  readonly claims = new Set<string>();
  readonly outOfMemory: string[] = [];
  /** Points, programs, container and pid of the hooks that were run. */
  readonly hooks: string[] = [];
  /** Errors that hooks fail with, by their points. */
  readonly hookFailures = new Map<string, KataError>();
  /** Bundles with hooks that are still to run. */
  readonly owedHooks = new Set<string>();
  readonly sandboxes: FakeSandbox[] = [];
  /** What the node's configuration says. */
  configuration: Configuration = defaultConfiguration("qemu");
  /** What the shim warned of in its log. */
  readonly warnings: string[] = [];
  /** Replaces the boot of a machine. */
  boot: (request: SandboxRequest) => Promise<FakeSandbox> = async ({ id }) => new FakeSandbox(id);
  /** Settles when a process's output has been handed over. */
  drained: () => Promise<void> = () => Promise.resolve();
  readonly pod: Pod;
  readonly task: TaskHandlers;
  readonly sandboxApi: SandboxHandlers;
  /** What the machines were booted for. */
  readonly requests: SandboxRequest[] = [];

  constructor() {
    this.pod = new Pod(this.#parts());
    const facts = {
      shimPid: SHIM_PID,
      version: "2",
      architecture: "amd64",
      packMetrics: (statistics: ContainerStatistics) => ({
        typeUrl: METRICS_V1_TYPE,
        value: encodeMetricsV1(metricsV1(statistics)),
      }),
    };
    this.task = taskHandlers(this.pod, facts);
    const writePodFiles = (bundle: string) => ({
      isFile: (path: string) => path.startsWith("/made/"),
      paths: new Map([["/etc/resolv.conf", `${bundle}/etc/resolv.conf`]]),
    });
    this.sandboxApi = sandboxHandlers(this.pod, new ControlledSandbox(this.pod, { writePodFiles }), facts);
  }

  /** The sandbox that was started last. */
  get sandbox(): FakeSandbox {
    const sandbox = this.sandboxes.at(-1);
    if (sandbox === undefined) throw new Error("no sandbox was started");
    return sandbox;
  }

  get topics(): string[] {
    return this.events.map(({ topic }) => topic);
  }

  /** Creates a container. @param annotations and `hooks` of its specification. */
  create(
    id: string,
    annotations: Readonly<Record<string, string>> = {},
    context: CallContext = CALL,
    hooks: Hooks = {},
    stdout = "/fifo/out",
    terminal = false,
  ) {
    const bundle = `/bundles/${id}`;
    this.specs.set(bundle, {
      ociVersion: "1.0.2",
      process: { cwd: "/", args: ["sh"], user: { uid: 0, gid: 0 } },
      root: { path: "rootfs" },
      annotations,
      hooks,
    });
    const request = {
      id,
      bundle,
      rootfs: [{ type: "overlay", source: "overlay", target: "", options: ["lowerdir=/a"] }],
      terminal,
      stdin: "",
      stdout,
      stderr: "/fifo/err",
      checkpoint: "",
      parentCheckpoint: "",
    };
    return this.task.create(request, context);
  }

  /** Creates and starts a container. */
  async run(id: string, annotations: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.create(id, annotations);
    await this.task.start({ id, execId: "" }, CALL);
  }

  /** Registers an exec. */
  exec(id: string, execId: string, process: object = { cwd: "/", args: ["ps"] }) {
    const typeUrl = "types.containerd.io/opencontainers/runtime-spec/1/Process";
    const value = new TextEncoder().encode(JSON.stringify(process));
    const spec = { typeUrl, value };
    return this.task.exec({ id, execId, terminal: false, stdin: "", stdout: "", stderr: "", spec }, CALL);
  }

  /** Lets everything happen that waits for nothing but its turn. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  #parts(): PodParts {
    return {
      openSandbox: async (request) => {
        this.requests.push(request);
        const sandbox = await this.boot(request);
        this.sandboxes.push(sandbox);
        return sandbox;
      },
      openStreams: async (_sandbox, { containerId, execId }) => {
        const note = (what: string) => () => {
          this.streams.push(`${containerId}/${execId} ${what}`);
        };
        note("open")();
        return {
          start: note("start"),
          finishWith: (output) => {
            if (output !== undefined) note("finish")();
          },
          closeStdin: note("close-stdin"),
          drained: () => this.drained(),
          [Symbol.dispose]: note("close"),
        };
      },
      readSpec: (bundle) => {
        const spec = this.specs.get(bundle);
        if (spec === undefined) throw new Error(`no specification in ${bundle}`);
        return spec;
      },
      loadConfiguration: () => this.configuration,
      claimSandbox: (bundle) => {
        this.claims.add(bundle);
        return () => void this.claims.delete(bundle);
      },
      runHooks: async ({ point, subject, pid }) => {
        const paths = subject.spec.hooks?.[point]?.map(({ path }) => path) ?? [];
        this.hooks.push(`${point} ${paths.join(",")} ${subject.id} ${pid}`);
        const failure = this.hookFailures.get(point);
        if (failure !== undefined) throw failure;
      },
      noteHooks: (bundle) => {
        this.owedHooks.add(bundle);
        return () => void this.owedHooks.delete(bundle);
      },
      noteOutOfMemory: (bundle) => void this.outOfMemory.push(bundle),
      events: { publish: (event) => void this.events.push(decodeEvent(event)) },
      clock: this.clock,
      wallClock: () => NOW_MS,
      logger: {
        debug: () => undefined,
        info: () => undefined,
        warn: (message) => void this.warnings.push(message),
        error: () => undefined,
      },
    };
  }
}

/** Annotations of a pod's containers, as containerd's CRI sets them. */
export function podAnnotations(type: "sandbox" | "container", sandboxId: string): Record<string, string> {
  return { "io.kubernetes.cri.container-type": type, "io.kubernetes.cri.sandbox-id": sandboxId };
}
