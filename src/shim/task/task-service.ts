/**
 * containerd's task service: each call to the verb that does it, and its answer.
 * Source: containerd.task.v2.Task and containerd.task.v3.Task, whose messages are the same.
 */
import { KataError } from "../../kata-error.ts";
import type { Service } from "../../rpc/types.ts";
import type { ContainerStatistics } from "../../sandbox/types.ts";
import { orCancelled } from "../../sys/cancellation.ts";
import type { PackedMessage } from "../any-type.ts";
import { type TaskHandlers, taskService } from "../generated.ts";
import type { Pod } from "../pod/pod.ts";
import { timestampOf } from "../timestamp.ts";
import { createTask } from "./create-task.ts";
import { deleteTask } from "./delete-task.ts";
import { execTask } from "./exec-task.ts";
import { killTask } from "./kill-task.ts";
import { listProcesses } from "./list-processes.ts";
import { pauseTask, resumeTask } from "./pause-task.ts";
import { startTask } from "./start-task.ts";
import { taskState } from "./task-state.ts";
import { updateTask } from "./update-task.ts";

export interface ServiceFacts {
  readonly shimPid: number;
  /** What Connect answers with: the version of the task service. */
  readonly version: string;
  /** Statistics in the form of the host's cgroups. */
  readonly packMetrics: (statistics: ContainerStatistics) => PackedMessage | Promise<PackedMessage>;
}

export function taskHandlers(pod: Pod, facts: ServiceFacts): TaskHandlers {
  return {
    async create(request, { signal }) {
      const container = await createTask(pod, request, signal);
      return { pid: container.facts.pid };
    },

    async start({ id, execId }) {
      return { pid: await startTask(pod, id, execId) };
    },

    async delete({ id, execId }) {
      const { pid, exit } = await deleteTask(pod, id, execId);
      return { pid, exitStatus: exit.status, exitedAt: timestampOf(exit.at) };
    },

    async exec(request) {
      execTask(pod, request);
      return {};
    },

    async state({ id, execId }) {
      const container = pod.container(id);
      return taskState(container, container.process(execId));
    },

    async kill(request) {
      await killTask(pod, request);
      return {};
    },

    async wait({ id, execId }, { signal }) {
      const { exited } = pod.container(id).process(execId);
      const exit = await orCancelled(exited, signal);
      return { exitStatus: exit.status, exitedAt: timestampOf(exit.at) };
    },

    async pids({ id }) {
      return { processes: await listProcesses(pod, id) };
    },

    async pause({ id }) {
      await pauseTask(pod, id);
      return {};
    },

    async resume({ id }) {
      await resumeTask(pod, id);
      return {};
    },

    async checkpoint({ id }) {
      throw new KataError("unimplemented", {
        operation: "checkpoint container",
        object: id,
        hint: "containers in a virtual machine cannot be checkpointed",
      });
    },

    async resizePty({ id, execId, width, height }) {
      const process = pod.container(id).process(execId);
      const size = { rows: height, columns: width };
      if (process.paths.terminal && process.state.name !== "stopped" && !process.keepSize(size)) {
        await pod.sandbox.resizeTerminal(process.address, size);
      }
      return {};
    },

    async closeIO({ id, execId, stdin }) {
      if (stdin) pod.container(id).process(execId).closeStdin();
      return {};
    },

    async update({ id, resources }) {
      await updateTask(pod, id, resources);
      return {};
    },

    async stats({ id }) {
      const container = pod.container(id);
      if (container.init.state.name === "stopped") {
        throw new KataError("failed-precondition", {
          operation: "read statistics",
          object: `${id} is stopped`,
        });
      }
      return { stats: await facts.packMetrics(await pod.sandbox.stats(id)) };
    },

    async connect({ id }) {
      const known = pod.containers.find((container) => container.id === id);
      const taskPid = known?.facts.pid ?? pod.hypervisorPid;
      return { shimPid: facts.shimPid, taskPid, version: facts.version };
    },

    async shutdown({ now }) {
      // Others of the pod may still be there: the shim lives on with them.
      if (now || !pod.isInUse) await pod.end();
      return {};
    },
  };
}

/** Both versions of the service. */
export function taskServices(handlers: TaskHandlers): readonly Service[] {
  const version2 = taskService(handlers);
  return [version2, { ...version2, name: "containerd.task.v3.Task" }];
}
