/** The tree of everything that rules define below `data`: packages, rules, functions. */
import { describePosition, type Position } from "./ast.ts";
import type { CompiledRule } from "./compiled-rule.ts";
import { compileError } from "./fault.ts";
import { formatRego } from "./json.ts";
import { type Key, keyOf, type Value } from "./values.ts";

/** What the rules of one name define together. */
export type RuleKind = "complete" | "set" | "partial" | "function";

export class RuleNode {
  readonly parent: RuleNode | undefined;
  readonly key: Value;
  readonly children = new Map<Key, RuleNode>();
  /** A module declares this package, or one below. */
  isPackage = false;
  kind: RuleKind | undefined;
  /** Number of parameters, if a function. */
  arity = 0;
  /** Where the first rule stands. */
  at: Position | undefined;
  rules: CompiledRule[] = [];
  fallback: CompiledRule | undefined;
  /** Set by the compiler: how to find the rules that can apply. */
  index: RuleIndex | undefined;
  /** All rules give the same constant: the first solution decides. */
  firstDecides = false;
  /** The rules' nodes that this one's rules read, for the check of recursion. */
  readonly dependencies = new Map<RuleNode, Position>();

  constructor(parent: RuleNode | undefined, key: Value) {
    this.parent = parent;
    this.key = key;
  }

  /** The node below, made if it is not there yet. */
  grow(key: Value): RuleNode {
    const index = keyOf(key);
    let child = this.children.get(index);
    if (!child) {
      child = new RuleNode(this, key);
      this.children.set(index, child);
    }
    return child;
  }

  child(key: Value): RuleNode | undefined {
    return this.children.get(keyOf(key));
  }

  path(): Value[] {
    return this.parent ? [...this.parent.path(), this.key] : [];
  }

  /** `data.a.b["c d"]`. */
  describe(): string {
    return this.path().reduce<string>(
      (text, key) =>
        typeof key === "string" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(key)
          ? `${text}.${key}`
          : `${text}[${formatRego(key)}]`,
      "data",
    );
  }

  /** This node and all below. */
  *subtree(): IterableIterator<RuleNode> {
    yield this;
    for (const child of this.children.values()) yield* child.subtree();
  }
}

/** Picks rules by the value of one term: rules that ask for another constant there cannot apply. */
export interface RuleIndex {
  /** The index of the argument, or the path below `input`. */
  readonly on: { readonly argument: number } | { readonly input: readonly Value[] };
  readonly byValue: ReadonlyMap<Key, readonly CompiledRule[]>;
  /** Rules for any other value. */
  readonly rest: readonly CompiledRule[];
}

/**
 * Notes that a rule of `kind` is defined at `node`.
 *
 * @throws KataError `policy-compile` if rules of another kind or arity are there.
 */
export function claimNode(node: RuleNode, kind: RuleKind, arity: number, at: Position): void {
  if (node.kind === undefined) {
    node.kind = kind;
    node.arity = arity;
    node.at = at;
    return;
  }
  if (node.kind === kind && (kind !== "function" || node.arity === arity)) return;
  const first = node.at ? ` (first at ${describePosition(node.at)})` : "";
  const why = node.kind === kind ? "arities differ" : `${node.kind} and ${kind} rules`;
  throw compileError(at, `conflicting rules ${node.describe()} found: ${why}${first}`);
}

/**
 * Checks that packages, rules and the rules below rules do not claim the same place, and that no rule reads itself.
 *
 * @throws KataError `policy-compile`.
 */
export function checkTree(root: RuleNode): void {
  for (const node of root.subtree()) {
    if (node.kind === undefined || node.at === undefined) continue;
    if (node.isPackage)
      throw compileError(node.at, `rule ${node.describe()} conflicts with a package of that name`);
    const below = node.children.values().next().value;
    if (below && node.kind !== "partial") {
      throw compileError(node.at, `rule ${node.describe()} conflicts with rule ${below.describe()} below it`);
    }
  }
  checkRecursion(root);
}

function checkRecursion(root: RuleNode): void {
  const state = new Map<RuleNode, "open" | "done">();
  const trail: RuleNode[] = [];
  const visit = (node: RuleNode, at: Position): void => {
    const known = state.get(node);
    if (known === "done") return;
    trail.push(node);
    if (known === "open") {
      const cycle = trail.slice(trail.indexOf(node)).map((step) => step.describe());
      throw compileError(at, `rule ${node.describe()} is recursive: ${cycle.join(" -> ")}`);
    }
    state.set(node, "open");
    for (const [next, where] of node.dependencies) visit(next, where);
    trail.pop();
    state.set(node, "done");
  };
  for (const node of root.subtree()) if (node.at) visit(node, node.at);
}
