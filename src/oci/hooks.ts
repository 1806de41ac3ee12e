/**
 * Hooks: programs that run at points of a container's life, with its state on stdin. What they are told and which are refused; where
 * they run is for those who run them, on the host or in the guest.
 * Source: runtime-spec, "POSIX-platform Hooks" and "State".
 */
import { KataError } from "../kata-error.ts";
import type { Hook, Hooks, Spec } from "./types.ts";

export type HookPoint = keyof Hooks;

const STATUS = {
  prestart: "creating",
  createRuntime: "creating",
  createContainer: "creating",
  startContainer: "created",
  poststart: "running",
  poststop: "stopped",
} as const satisfies Record<HookPoint, string>;

/** For a hook without a bound of its own, ms: as long as a host waits for a container. */
const DEFAULT_DEADLINE_MS = 60_000;
/** The longest bound that a hook may have, seconds. */
const MAX_TIMEOUT_S = 3600;
/** Most hooks of one point. */
const MAX_HOOKS = 256;

/** What hooks are told of a container. */
export interface HookSubject {
  readonly id: string;
  readonly spec: Spec;
  /** Directory with the container's config.json. */
  readonly bundle: string;
}

/** The state that a hook reads. @param pid of the first process, as the hook sees it; absent when it has ended. */
export function hookState(
  point: HookPoint,
  { id, spec, bundle }: HookSubject,
  pid: number | undefined,
): string {
  return JSON.stringify({
    ociVersion: spec.ociVersion,
    id,
    status: STATUS[point],
    ...(pid === undefined || point === "poststop" ? {} : { pid }),
    bundle,
    annotations: spec.annotations ?? {},
  });
}

/** Whether there is any hook. */
export function hasHooks(spec: Spec): boolean {
  return Object.values(spec.hooks ?? {}).some(
    (hooks: readonly Hook[] | undefined) => (hooks?.length ?? 0) > 0,
  );
}

/** @throws KataError `invalid-argument` for a hook that cannot be run. */
export function checkHooks(hooks: Hooks | undefined): void {
  for (const [point, list] of Object.entries(hooks ?? {}) as [HookPoint, readonly Hook[]][]) {
    if (list.length > MAX_HOOKS) throw invalid(point, `${list.length} hooks`, `at most ${MAX_HOOKS} are run`);
    for (const { path, timeout, args, env } of list) {
      if (!path.startsWith("/")) throw invalid(point, JSON.stringify(path), "the path is absolute");
      if (timeout !== undefined && !(timeout > 0 && timeout <= MAX_TIMEOUT_S)) {
        throw invalid(point, `timeout ${timeout}`, `it is 1 to ${MAX_TIMEOUT_S} seconds`);
      }
      if ([path, ...(args ?? []), ...(env ?? [])].some((text) => text.includes("\0"))) {
        throw invalid(point, JSON.stringify(path), "a text holds a NUL");
      }
    }
  }
}

function invalid(point: string, object: string, hint: string): KataError {
  return new KataError("invalid-argument", { operation: `read ${point} hook`, object, hint });
}

/** Longest that `hooks` may take together, ms. */
export function hooksDeadlineMs(hooks: readonly Hook[] | undefined): number {
  return (hooks ?? []).reduce((sum, hook) => sum + hookDeadlineMs(hook), 0);
}

/** Longest that `hook` may take, ms. */
export function hookDeadlineMs({ timeout }: Hook): number {
  return timeout === undefined ? DEFAULT_DEADLINE_MS : timeout * 1000;
}
