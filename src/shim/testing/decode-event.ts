/** An event as containerd's subscribers read it. */
import {
  decodeTaskCreate,
  decodeTaskDelete,
  decodeTaskExecAdded,
  decodeTaskExecStarted,
  decodeTaskExit,
  decodeTaskOOM,
  decodeTaskPaused,
  decodeTaskResumed,
  decodeTaskStart,
} from "../../../build/generated/task-events.ts";
import type { TaskEvent } from "../events/task-events.ts";

const DECODERS: Readonly<Record<string, (bytes: Uint8Array) => object>> = {
  "containerd.events.TaskCreate": decodeTaskCreate,
  "containerd.events.TaskStart": decodeTaskStart,
  "containerd.events.TaskExecAdded": decodeTaskExecAdded,
  "containerd.events.TaskExecStarted": decodeTaskExecStarted,
  "containerd.events.TaskExit": decodeTaskExit,
  "containerd.events.TaskDelete": decodeTaskDelete,
  "containerd.events.TaskPaused": decodeTaskPaused,
  "containerd.events.TaskResumed": decodeTaskResumed,
  "containerd.events.TaskOOM": decodeTaskOOM,
};

export function decodeEvent({ topic, event }: TaskEvent): { readonly topic: string } {
  const decode = DECODERS[event.typeUrl];
  if (decode === undefined) throw new Error(`unknown event ${event.typeUrl}`);
  return { topic, ...decode(event.value) };
}
