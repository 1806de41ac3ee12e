/** Bodies as chains of steps: each goal goes on with the next for every way in which it can be met. */
import { compileIteration, compileMatch, type Match } from "./compile-iterations.ts";
import { type CodeContext, compileTerm } from "./compile-terms.ts";
import { compileWith } from "./compile-with.ts";
import type { Evaluate, Step } from "./compiled-rule.ts";
import { member, memberKeys } from "./document.ts";
import type { Goal } from "./ir.ts";
import { formatRego } from "./json.ts";
import { type Plan, planBody } from "./planning.ts";
import { RegoSet, type Value } from "./values.ts";

/** Longest line that one `print` gives, UTF-16 units: the rest is cut off. */
const MAX_PRINTED = 16_384;

/**
 * Compiles goals.
 *
 * @param last makes the step that follows when all goals are met, in the context that then holds.
 * @throws KataError `policy-compile` if a variable is unsafe.
 */
export function compileBody(
  goals: readonly Goal[],
  context: CodeContext,
  last: (after: CodeContext) => Step,
): Step {
  const { plans, bound } = planBody(goals, context.bound, context.depth, context.allocate);
  let step = last({ ...context, bound });
  for (let i = plans.length - 1; i >= 0; i--) step = compilePlan(plans[i] as Plan, context, step);
  return step;
}

function compilePlan(plan: Plan, context: CodeContext, next: Step): Step {
  const iterated = new Map(context.iterated);
  for (const ref of plan.iterations) iterated.set(ref, context.allocate());
  const inner: CodeContext = { ...context, bound: plan.bound, iterated };
  let step = compileGoal(plan, inner, next);
  for (let i = plan.iterations.length - 1; i >= 0; i--) {
    const ref = plan.iterations[i];
    const bound = plan.boundBefore[i];
    const slot = ref && iterated.get(ref);
    if (ref && bound && slot !== undefined) step = compileIteration(ref, slot, { ...inner, bound }, step);
  }
  return step;
}

function compileGoal(plan: Plan, context: CodeContext, next: Step): Step {
  const { goal } = plan;
  switch (goal.kind) {
    case "unify": {
      const [computed, pattern] =
        plan.computed === "left" ? [goal.left, goal.right] : [goal.right, goal.left];
      const value = compileTerm(computed, context);
      const match: Match = compileMatch(pattern, new Set(context.bound), context);
      return (frame) => {
        frame.run.step();
        const found = value(frame);
        return found !== undefined && match(frame, found) && next(frame);
      };
    }
    case "test": {
      const test = compileTerm(goal.term, context);
      return (frame) => {
        frame.run.step();
        const value = test(frame);
        return value !== undefined && value !== false && next(frame);
      };
    }
    case "not": {
      const depth = goal.depth ?? context.depth;
      const inner = compileBody(goal.goals, { ...context, depth }, () => () => true);
      return (frame) => {
        frame.run.step();
        return !inner(frame) && next(frame);
      };
    }
    case "every":
      return compileEvery(goal, context, next);
    case "print":
      return compilePrint(
        goal.args.map((arg) => compileTerm(arg, context)),
        goal.at,
        next,
      );
    case "with":
      return compileWith(goal, context, next);
  }
}

function compileEvery(goal: Extract<Goal, { kind: "every" }>, context: CodeContext, next: Step): Step {
  const collection = compileTerm(goal.collection, context);
  const key = goal.key.slot;
  const value = goal.value.slot;
  const bound = new Set([...context.bound, goal.key, goal.value]);
  const body = compileBody(goal.goals, { ...context, bound, depth: goal.depth }, () => () => true);
  return (frame) => {
    const members = collection(frame);
    if (members === undefined || members === null || typeof members !== "object") return false;
    for (const memberKey of memberKeys(members)) {
      frame.run.step();
      frame.slots[key] = memberKey;
      frame.slots[value] = member(members, memberKey);
      if (!body(frame)) return false;
    }
    return next(frame);
  };
}

/** Operands may be undefined; one that goes through a collection comes as the set of its values. */
function compilePrint(args: readonly Evaluate[], at: Goal["at"], next: Step): Step {
  return (frame) => {
    const texts = args.map((arg) => printed(arg(frame)));
    frame.run.onPrint(texts.join(" ").slice(0, MAX_PRINTED), at);
    return next(frame);
  };
}

function printed(value: Value | undefined): string {
  if (value === undefined) return "<undefined>";
  if (typeof value === "string") return value;
  // The agent's users see what upstream's engine prints: braces for the empty set.
  return value instanceof RegoSet && value.size === 0 ? "{}" : formatRego(value);
}
