/** The shim of a container's machine, and calls to it. */
import { hasErrno, KataError } from "../../kata-error.ts";
import { TtrpcClient } from "../../rpc/client.ts";
import { readAddress } from "../../shim/bundle-files.ts";
import { taskClient } from "../../shim/generated.ts";
import { withDeadline } from "../../sys/clock.ts";
import { loop } from "../../sys/event-loop.ts";
import { connect } from "../../sys/socket.ts";
import type { ContainerDirectory } from "./runtime-root.ts";

/** A shim that is well takes a connection at once, ms. */
const CONNECT_MS = 5000;
/** A call that changes something in the guest; more than what the shim itself waits for it, ms. */
export const CALL = { timeoutMs: 65_000 };
/** A machine boots meanwhile, on a busy host under emulation, ms. */
export const CREATE = { timeoutMs: 300_000 };

export class TaskConnection implements Disposable {
  readonly calls: ReturnType<typeof taskClient>;
  /** Settles when the shim has ended, or the connection was closed. */
  readonly closed: Promise<void>;
  readonly #client: TtrpcClient;

  private constructor(client: TtrpcClient) {
    this.#client = client;
    this.calls = taskClient(client);
    this.closed = client.closed;
  }

  /** @returns undefined if no shim answers for the container: its machine is gone. */
  static async find(directory: ContainerDirectory): Promise<TaskConnection | undefined> {
    const path = readAddress(directory.path)?.replace(/^unix:\/\//, "");
    if (path === undefined || path === "") return undefined;
    const what = { operation: "connect to the container's shim", object: path };
    try {
      const stream = await withDeadline(loop, CONNECT_MS, what, connect({ kind: "unix", path }));
      return new TaskConnection(new TtrpcClient(stream));
    } catch (error) {
      if (hasErrno(error, "ENOENT", "ECONNREFUSED", "ENOTDIR")) return undefined;
      throw error;
    }
  }

  /** @throws KataError `unavailable` if no shim answers: with the words that engines look for. */
  static async open(directory: ContainerDirectory): Promise<TaskConnection> {
    const found = await TaskConnection.find(directory);
    if (found !== undefined) return found;
    throw notRunning(directory.id);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** What runc says, and engines look for. */
export function notRunning(id: string): KataError {
  return new KataError("failed-precondition", {
    operation: "use container",
    object: `${id}: container not running`,
  });
}
