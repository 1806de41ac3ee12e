/** The executable form of rules. */
import type { Position } from "./ast.ts";
import type { Frame } from "./evaluation.ts";
import type { Value } from "./values.ts";

/** Evaluates a term that has at most one value. */
export type Evaluate = (frame: Frame) => Value | undefined;

/** Goes on with a body; true means that the search may stop. */
export type Step = (frame: Frame) => boolean;

export interface CompiledRule {
  readonly at: Position;
  /** Slots of its frame. */
  slots: number;
  /** Binds the arguments of a function; false if they do not match. */
  bind: (frame: Frame, args: readonly Value[]) => boolean;
  /** The rule itself and its `else` branches, in order. */
  branches: Step[];
}
