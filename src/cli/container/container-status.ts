/** What a container is doing. Source: OCI runtime specification, "State"; runc for `paused`. */
import { hasCode } from "../../kata-error.ts";
import { processStartTime } from "../../sandbox/process-identity.ts";
import { TaskStatus } from "../../shim/generated.ts";
import { OCI_SPECS_VERSION } from "../../version.ts";
import type { ContainerRecord } from "./container-record.ts";
import { type ContainerDirectory, readRecord } from "./runtime-root.ts";
import { TaskConnection } from "./task-connection.ts";

export type ContainerStatus = "creating" | "created" | "running" | "paused" | "stopped";

/** A shim that does not tell a state is stuck, ms. */
const STATE = { timeoutMs: 10_000 };

export interface ContainerState {
  readonly status: ContainerStatus;
  /** Undefined while it is being created. */
  readonly record: ContainerRecord | undefined;
}

export async function containerState(directory: ContainerDirectory): Promise<ContainerState> {
  const record = readRecord(directory);
  if (record === undefined) return { status: "creating", record };
  // Its process ends with it; without one nobody has to be asked.
  if (processStartTime(record.pid) !== record.startTime) return { status: "stopped", record };
  using connection = await TaskConnection.find(directory);
  if (connection === undefined) return { status: "stopped", record };
  return { status: await taskStatus(connection, directory.id), record };
}

export async function taskStatus({ calls }: TaskConnection, id: string): Promise<ContainerStatus> {
  try {
    const { status } = await calls.state({ id }, STATE);
    switch (status) {
      case TaskStatus.CREATED:
        return "created";
      case TaskStatus.RUNNING:
        return "running";
      case TaskStatus.PAUSED:
      case TaskStatus.PAUSING:
        return "paused";
      default:
        return "stopped";
    }
  } catch (error) {
    if (hasCode(error, "not-found", "unavailable")) return "stopped";
    throw error;
  }
}

/** As `state` and `list` show it; the keys are runc's. */
export function stateDocument(id: string, { status, record }: ContainerState) {
  const annotations = record?.annotations ?? {};
  return {
    ociVersion: OCI_SPECS_VERSION,
    id,
    pid: status === "stopped" ? 0 : (record?.pid ?? 0),
    status,
    bundle: record?.bundle ?? "",
    rootfs: record?.rootfs ?? "",
    created: record?.created ?? "",
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    owner: "",
  };
}
