/** What Kubernetes calls the sandboxes: asked from the container manager, and remembered. */
import { runtimeServiceClient } from "../../build/generated/cri.ts";
import { describeError } from "../kata-error.ts";
import { GrpcCaller } from "./grpc-caller.ts";

export interface PodName {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
}

/** A manager knows a pod somewhat later than its shim is there; one that is no pod is asked for no more often than this, ms. */
const ASK_INTERVAL_MS = 5000;
const CALL_MS = 5000;

export class PodNames {
  readonly #endpoint: string;
  readonly #now: () => number;
  readonly #failed: (reason: string) => void;
  #names: ReadonlyMap<string, PodName> = new Map();
  #askedAt = Number.NEGATIVE_INFINITY;

  /** @param failed hears why names are not known. */
  constructor(endpoint: string, failed: (reason: string) => void, now: () => number = () => Date.now()) {
    this.#endpoint = endpoint;
    this.#failed = failed;
    this.#now = now;
  }

  /** The names of those that have some. Without an answer, what was known before. */
  async of(ids: readonly string[]): Promise<ReadonlyMap<string, PodName>> {
    const isKnown = ids.every((id) => this.#names.has(id));
    if (isKnown || this.#now() - this.#askedAt < ASK_INTERVAL_MS) return this.#names;
    this.#askedAt = this.#now();
    try {
      this.#names = await this.#ask();
    } catch (error) {
      this.#failed(describeError(error));
    }
    return this.#names;
  }

  async #ask(): Promise<ReadonlyMap<string, PodName>> {
    using caller = new GrpcCaller(this.#endpoint, {}, CALL_MS);
    const { items } = await runtimeServiceClient(caller).listPodSandbox({});
    return new Map(
      items.map(({ id, metadata }) => {
        const { uid = "", name = "", namespace = "" } = metadata ?? {};
        return [id, { uid, name, namespace }];
      }),
    );
  }
}
