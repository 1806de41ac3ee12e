/**
 * What OPA computes before a negated expression instead of inside of it: nested calls, and references that are operands
 * of a call or members of a composite. Where one of these is undefined the body fails, it does not succeed:
 * `not count(input.absent) > 1` is undefined, while `not input.absent` and `not input.absent == 1` hold.
 * Source: OPA's compiler stages RewriteExprTerms and RewriteDynamicTerms, as `opa eval` shows them.
 */
import type { Goal, Ir, IrCall } from "./ir.ts";
import type { Scope } from "./resolve-names.ts";

/** The goals of a negated expression with what comes before them. */
export function takeOut(
  goals: readonly Goal[],
  scope: Scope,
): { readonly before: readonly Goal[]; readonly inside: readonly Goal[] } {
  const mover = new Mover(scope);
  const inside = goals.map((goal) => mover.goal(goal));
  return { before: mover.before, inside };
}

class Mover {
  readonly before: Goal[] = [];
  private readonly scope: Scope;

  constructor(scope: Scope) {
    this.scope = scope;
  }

  goal(goal: Goal): Goal {
    switch (goal.kind) {
      case "unify":
        if (goal.isCall && goal.right.kind === "call")
          return { ...goal, left: this.moved(goal.left), right: this.topCall(goal.right) };
        return { ...goal, left: this.kept(goal.left), right: this.kept(goal.right) };
      case "test":
        return { ...goal, term: goal.term.kind === "call" ? this.topCall(goal.term) : this.kept(goal.term) };
      case "every":
        return { ...goal, collection: this.moved(goal.collection) };
      default:
        return goal;
    }
  }

  /** The call that is negated; its operands are not. Equality keeps references, as it does for `=`. */
  private topCall(call: IrCall): Ir {
    const isEquality = call.target.kind === "builtin" && call.target.builtin.name === "equal";
    return { ...call, args: call.args.map((arg) => (isEquality ? this.kept(arg) : this.moved(arg))) };
  }

  /** A term that stays where it is, but for what is inside of it. */
  private kept(term: Ir): Ir {
    if (term.kind !== "ref") return term.kind === "input" || term.kind === "data" ? term : this.moved(term);
    const head = term.head.kind === "input" || term.head.kind === "data" ? term.head : this.moved(term.head);
    return { ...term, head, path: term.path.map((step) => this.moved(step)) };
  }

  private moved(term: Ir): Ir {
    switch (term.kind) {
      case "ref":
        return this.move(this.kept(term), true);
      case "input":
      case "data":
        return this.move(term, true);
      case "call":
        return this.move({ ...term, args: term.args.map((arg) => this.moved(arg)) }, false);
      case "array":
      case "set":
        return { ...term, items: term.items.map((item) => this.moved(item)) };
      case "object":
        return { ...term, fields: term.fields.map(([key, value]) => [this.moved(key), this.moved(value)]) };
      default:
        return term;
    }
  }

  /** @param isClosed true for references, which OPA takes out once their variables are known to be safe. */
  private move(term: Ir, isClosed: boolean): Ir {
    const { at } = term;
    const variable: Ir = { kind: "variable", variable: this.scope.fresh(at), at };
    this.before.push({ kind: "unify", left: variable, right: term, isClosed, at });
    return variable;
  }
}
