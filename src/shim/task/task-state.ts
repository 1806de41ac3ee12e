/** State: what containerd shows of a process. */
import { type StateResponseInput, TaskStatus } from "../generated.ts";
import type { ContainedProcess } from "../pod/contained-process.ts";
import type { Container } from "../pod/container.ts";
import type { ProcessState } from "../process-state.ts";
import { timestampOf } from "../timestamp.ts";

export function taskState({ id, facts }: Container, process: ContainedProcess): StateResponseInput {
  const { state, paths, address } = process;
  const ended = state.name === "stopped" ? state.exit : undefined;
  return {
    id,
    bundle: facts.bundle,
    pid: facts.pid,
    status: statusOf(state),
    stdin: paths.stdin,
    stdout: paths.stdout,
    stderr: paths.stderr,
    terminal: paths.terminal,
    execId: address.execId,
    ...(ended === undefined ? {} : { exitStatus: ended.status, exitedAt: timestampOf(ended.at) }),
  };
}

function statusOf({ name }: ProcessState): number {
  switch (name) {
    case "created":
      return TaskStatus.CREATED;
    case "running":
      return TaskStatus.RUNNING;
    case "paused":
      return TaskStatus.PAUSED;
    case "stopped":
      return TaskStatus.STOPPED;
  }
}
