/** Pods of one test, run as a kubelet runs them; the end of the scope removes them, and then the host must be as it was. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";
import { Cri, type CriPod, KUBERNETES_NAMESPACE } from "./cri.ts";
import type { Ctr } from "./ctr.ts";
import { eventually } from "./eventually.ts";
import { test as base, type Workbench } from "./workbench.ts";

/** Containers are told of to Kubernetes' interface by events, ms. */
const STATE_DEADLINE_MS = 20_000;

/** A pod is removed again and again until it is gone; containerd takes its time over one whose shim was killed, ms. */
const REMOVAL_DEADLINE_MS = 20_000;

/** Source: Kubernetes CRI, ContainerState. */
const EXITED = 2;

let podsNamed = 0;

export class Kubelet implements AsyncDisposable {
  #cri: Cri;
  readonly bench: Workbench;
  readonly #pods: CriPod[] = [];
  #names = 0;

  constructor(bench: Workbench) {
    this.bench = bench;
    this.#cri = new Cri(bench.ctr.instance.socket);
  }

  get cri(): Cri {
    return this.#cri;
  }

  /** After containerd was restarted: returns when it knows `pod` again. */
  async reconnect({ id }: CriPod): Promise<void> {
    this.#cri[Symbol.dispose]();
    this.#cri = new Cri(this.bench.ctr.instance.socket);
    await eventually("containerd knows its pods", STATE_DEADLINE_MS, () =>
      this.cri.calls.podSandboxStatus({ podSandboxId: id, verbose: false }).catch(notYet),
    );
  }

  /** containerd's client in the namespace of pods. */
  get ctr(): Ctr {
    return this.bench.ctr.in(KUBERNETES_NAMESPACE);
  }

  /** Runs a pod with the runtime handler of that name. */
  async runPod(runtimeHandler: string, changes: Partial<CriPod["config"]> = {}): Promise<CriPod> {
    const name = `pod-${process.pid}-${podsNamed++}`;
    const logDirectory = join(this.bench.scratch, name);
    mkdirSync(logDirectory);
    const metadata = { name, uid: `${name}-uid`, namespace: "test" };
    const config = { metadata, hostname: "pod-host", logDirectory, ...changes };
    const { podSandboxId } = await this.cri.calls.runPodSandbox({ config, runtimeHandler });
    this.bench.noteId(podSandboxId);
    const pod = { id: podSandboxId, config };
    this.#pods.push(pod);
    return pod;
  }

  /** Runs a shell script as the program of a container. @returns its id. */
  async runContainer(pod: CriPod, script: string, name = `c${this.#names++}`, attempt = 0): Promise<string> {
    const id = await this.cri.runContainer(pod, { name, attempt }, this.bench.image, script);
    this.bench.noteId(id);
    return id;
  }

  /** Waits for the end of a container. @returns its exit status. */
  async exitOf(containerId: string): Promise<number> {
    return await eventually("the container's end", STATE_DEADLINE_MS, async () => {
      const { status } = await this.cri.calls.containerStatus({ containerId });
      return status?.state === EXITED ? status.exitCode : undefined;
    });
  }

  /** What a container has written to a stream, as its log has it: time, stream, F for a full line, text. */
  logOf(pod: CriPod, name: string, stream: "stdout" | "stderr", attempt = 0): string[] {
    const path = join(pod.config.logDirectory ?? "", `${name}-${attempt}.log`);
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    return lines.flatMap((line) => {
      const [, from, , ...text] = line.split(" ");
      return from === stream ? [text.join(" ")] : [];
    });
  }

  async removePod({ id }: CriPod): Promise<void> {
    await eventually("the pod's removal", REMOVAL_DEADLINE_MS, async () => {
      await this.cri.calls.stopPodSandbox({ podSandboxId: id });
      return await this.cri.calls.removePodSandbox({ podSandboxId: id }).catch(notYet);
    });
    this.#pods.splice(
      this.#pods.findIndex((pod) => pod.id === id),
      1,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      for (const pod of [...this.#pods]) await this.removePod(pod);
    } finally {
      this.#cri[Symbol.dispose]();
    }
  }
}

/** A test with a kubelet on the instance of the suite. */
export const test = base.extend<{ kubelet: Kubelet }>({
  kubelet: async ({ bench }, use) => {
    await using kubelet = new Kubelet(bench);
    await use(kubelet);
  },
});

/** Of containerd, such as `1.7.24`. */
export const containerdVersion = (): string => inject("containerdVersion");

/** What a kubelet tries again after. @throws anything else. */
function notYet(error: unknown): undefined {
  if (error instanceof Error && /not initialized yet|to stop first/.test(error.message)) return undefined;
  throw error;
}
