/** Calls to a container's shim as containerd makes them: `ctr` has no command for some, such as Update. */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { taskClient } from "../../build/generated/task-v2.ts";
import { TtrpcClient } from "../../src/rpc/client.ts";
import { nodeByteStream, nodeClock } from "./node-byte-stream.ts";
import type { InstanceAddress } from "./private-containerd.ts";

const RESOURCES_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

export class TaskClient implements Disposable {
  readonly id: string;
  readonly #client: TtrpcClient;
  readonly #task: ReturnType<typeof taskClient>;

  private constructor(id: string, client: TtrpcClient) {
    this.id = id;
    this.#client = client;
    this.#task = taskClient(client);
  }

  /** Connects to the shim of container `id`, whose bundle containerd keeps in its state directory. */
  static async to({ directory, tag }: InstanceAddress, id: string): Promise<TaskClient> {
    const bundle = join(directory, "state/io.containerd.runtime.v2.task", tag, id);
    const address = readFileSync(join(bundle, "address"), "utf8").trim().slice("unix://".length);
    const socket = connect(address);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject);
    });
    return new TaskClient(id, new TtrpcClient(nodeByteStream(socket), { clock: nodeClock }));
  }

  /** @param resources as in `linux.resources` of a specification. */
  async update(resources: object): Promise<void> {
    const value = new TextEncoder().encode(JSON.stringify(resources));
    await this.#task.update({
      id: this.id,
      resources: { typeUrl: RESOURCES_TYPE, value },
      annotations: new Map(),
    });
  }

  async pids(): Promise<number[]> {
    return (await this.#task.pids({ id: this.id })).processes.map(({ pid }) => pid);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
