/**
 * Hooks: programs that run at points of a container's life, with its state on stdin.
 *
 * | point | when | where |
 * |---|---|---|
 * | prestart, createRuntime | namespaces and mounts are made, the root is not changed yet | the guest |
 * | createContainer | after these | the container's namespaces, the guest's files |
 * | startContainer | before the program | the container, as its user |
 * | poststart | after the program's start | the guest |
 * | poststop | after the container's end | the guest |
 *
 * A host's own hooks do not come here; the guest's (`guest_hook_path`) and startContainer do.
 * Source: runtime-spec, "POSIX-platform Hooks".
 */
import { KataError } from "../../kata-error.ts";
import { type HookPoint, type HookSubject, hookDeadlineMs, hookState } from "../../oci/hooks.ts";
import type { Hook } from "../../oci/types.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import type { ChildReaper } from "../child-reaper.ts";
import { type ProgramRequest, type ProgramResult, runProgramHere, runProgramToEnd } from "../program-run.ts";

function requestOf(hook: Hook, state: string): ProgramRequest {
  return {
    path: hook.path,
    args: (hook.args?.length ?? 0) > 0 ? (hook.args ?? []) : [hook.path],
    environment: hook.env ?? [],
    stdin: utf8Encode(state),
    deadlineMs: hookDeadlineMs(hook),
    outputLimit: 0,
  };
}

function requireSuccess(point: HookPoint, { path }: Hook, { status, stderr }: ProgramResult): void {
  if (status === 0) return;
  throw new KataError("aborted", {
    operation: `run ${point} hook`,
    object: `${path}: it ended with status ${status}`,
    hint: stderr === "" ? undefined : stderr,
  });
}

/** Runs hooks as children of the agent, one after the other. @throws KataError for the first one that fails. */
export async function runHooks(
  point: HookPoint,
  subject: HookSubject,
  pid: number | undefined,
  reaper: ChildReaper,
): Promise<void> {
  const hooks = subject.spec.hooks?.[point] ?? [];
  if (hooks.length === 0) return;
  const state = hookState(point, subject, pid);
  for (const hook of hooks) {
    requireSuccess(point, hook, await runProgramToEnd(requestOf(hook, state), reaper));
  }
}

/** Runs hooks as children of a clone of the agent that is on its way into a container. */
export function runHooksHere(point: HookPoint, subject: HookSubject, pid: number): void {
  const hooks = subject.spec.hooks?.[point] ?? [];
  if (hooks.length === 0) return;
  const state = hookState(point, subject, pid);
  for (const hook of hooks) requireSuccess(point, hook, runProgramHere(requestOf(hook, state)));
}
