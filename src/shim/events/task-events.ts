/**
 * What containerd's subscribers are told of a task.
 * Source: containerd, package containerd.events and its topics.
 */
import type { RootfsMount } from "../../sandbox/types.ts";
import type { PackedMessage } from "../any-type.ts";
import {
  encodeTaskCreate,
  encodeTaskDelete,
  encodeTaskExecAdded,
  encodeTaskExecStarted,
  encodeTaskExit,
  encodeTaskOOM,
  encodeTaskPaused,
  encodeTaskResumed,
  encodeTaskStart,
} from "../generated.ts";
import type { Exit } from "../process-state.ts";
import type { StdioPaths } from "../stdio.ts";
import { timestampOf } from "../timestamp.ts";

export interface TaskEvent {
  /** `/tasks/exit` */
  readonly topic: string;
  readonly event: PackedMessage;
}

/** Takes events in the order in which they are to arrive; never fails. */
export interface EventSink {
  publish(event: TaskEvent): void;
}

function taskEvent(topic: string, name: string, value: Uint8Array): TaskEvent {
  return { topic: `/tasks/${topic}`, event: { typeUrl: `containerd.events.${name}`, value } };
}

export function created(task: {
  readonly containerId: string;
  readonly bundle: string;
  readonly rootfs: readonly RootfsMount[];
  readonly paths: StdioPaths;
  readonly pid: number;
}): TaskEvent {
  const { containerId, bundle, rootfs, paths, pid } = task;
  return taskEvent("create", "TaskCreate", encodeTaskCreate({ containerId, bundle, rootfs, io: paths, pid }));
}

export function started(containerId: string, pid: number): TaskEvent {
  return taskEvent("start", "TaskStart", encodeTaskStart({ containerId, pid }));
}

export function execAdded(containerId: string, execId: string): TaskEvent {
  return taskEvent("exec-added", "TaskExecAdded", encodeTaskExecAdded({ containerId, execId }));
}

export function execStarted(containerId: string, execId: string, pid: number): TaskEvent {
  return taskEvent("exec-started", "TaskExecStarted", encodeTaskExecStarted({ containerId, execId, pid }));
}

/** @param id of the exec, or the container's own for its first process. */
export function exited(containerId: string, id: string, pid: number, exit: Exit): TaskEvent {
  const message = { containerId, id, pid, exitStatus: exit.status, exitedAt: timestampOf(exit.at) };
  return taskEvent("exit", "TaskExit", encodeTaskExit(message));
}

export function deleted(containerId: string, pid: number, exit: Exit): TaskEvent {
  const message = { containerId, pid, exitStatus: exit.status, exitedAt: timestampOf(exit.at) };
  return taskEvent("delete", "TaskDelete", encodeTaskDelete(message));
}

export function paused(containerId: string): TaskEvent {
  return taskEvent("paused", "TaskPaused", encodeTaskPaused({ containerId }));
}

export function resumed(containerId: string): TaskEvent {
  return taskEvent("resumed", "TaskResumed", encodeTaskResumed({ containerId }));
}

export function outOfMemory(containerId: string): TaskEvent {
  return taskEvent("oom", "TaskOOM", encodeTaskOOM({ containerId }));
}
