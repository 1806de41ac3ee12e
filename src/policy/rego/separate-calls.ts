/**
 * Calls in the operands of a goal as goals of their own: what one of them binds may be what gives another goal of the
 * body the variable that the rest of the first one waits for, as in `count(input.a[x]) > y; y = x`.
 */
import type { Position } from "./ast.ts";
import { sharedBefore } from "./closure-safety.ts";
import type { Goal, Ir, Variable } from "./ir.ts";

/**
 * The goals that stand for `goal`, calls in its operands first; just `goal` if there are none.
 *
 * @param depth closures around the body.
 * @param fresh makes a variable of the body.
 */
export function separateCalls(goal: Goal, depth: number, fresh: (at: Position) => Variable): readonly Goal[] {
  const calls: Goal[] = [];
  const apart = (term: Ir): Ir => {
    switch (term.kind) {
      case "call": {
        const { at } = term;
        const left: Ir = { kind: "variable", variable: fresh(at), at };
        const right = inside(term);
        calls.push({ kind: "unify", left, right, before: sharedBefore([right], depth), at });
        return left;
      }
      default:
        return inside(term);
    }
  };
  const inside = (term: Ir): Ir => {
    switch (term.kind) {
      case "call":
        return { ...term, args: term.args.map(apart) };
      case "ref":
        return { ...term, head: apart(term.head), path: term.path.map(apart) };
      case "array":
      case "set":
        return { ...term, items: term.items.map(apart) };
      case "object":
        return { ...term, fields: term.fields.map(([key, value]) => [apart(key), apart(value)]) };
      default:
        return term;
    }
  };
  switch (goal.kind) {
    case "test": {
      const term = inside(goal.term);
      return calls.length > 0 ? [...calls, { ...goal, term, before: sharedBefore([term], depth) }] : [goal];
    }
    case "unify": {
      const [left, right] = [inside(goal.left), inside(goal.right)];
      const before = sharedBefore([left, right], depth);
      return calls.length > 0 ? [...calls, { ...goal, left, right, before }] : [goal];
    }
    default:
      return [goal];
  }
}
