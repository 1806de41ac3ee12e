/**
 * The life of a process in the shim, a container's first or an exec: `created → running ⇄ paused → stopped`.
 *
 * A verb at the wrong time is refused in a sentence that says what the state is.
 * Sources: OCI runtime specification, "Lifecycle"; containerd task API, status.
 */
import { KataError } from "../kata-error.ts";

/** How a process ended; the same in Wait, State, Delete and the exit event. */
export interface Exit {
  /** 0–255; 128 + signal number if a signal ended it; 255 if its virtual machine was lost. */
  readonly status: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export type ProcessState =
  | { readonly name: "created" }
  | { readonly name: "running" }
  | { readonly name: "paused" }
  | { readonly name: "stopped"; readonly exit: Exit };

export type Verb =
  | { readonly do: "start" }
  | { readonly do: "pause" }
  | { readonly do: "resume" }
  | { readonly do: "exit"; readonly exit: Exit };

/**
 * The state after `verb`.
 *
 * @throws KataError `failed-precondition` if `verb` makes no sense in `state`.
 */
export function follow(state: ProcessState, verb: Verb): ProcessState {
  switch (verb.do) {
    case "start":
      if (state.name === "created") return { name: "running" };
      break;
    case "pause":
      if (state.name === "running") return { name: "paused" };
      break;
    case "resume":
      if (state.name === "paused") return { name: "running" };
      break;
    case "exit":
      // One that was never started can end too: its virtual machine may be gone.
      if (state.name !== "stopped") return { name: "stopped", exit: verb.exit };
      break;
  }
  throw new KataError("failed-precondition", {
    operation: `${verb.do} process`,
    object: `it is ${state.name}`,
  });
}
