/** Policies compiled once and evaluated many times. */
import { KataError } from "../../kata-error.ts";
import type { Dialect, Module, Position, Rule } from "./ast.ts";
import type { BuiltinTable } from "./builtin-registry.ts";
import { ALL_BUILTINS } from "./builtins/all.ts";
import { compileDefault, compileRule, fixedSteps, kindOf, type RuleAnalysis } from "./compile-rules.ts";
import { DEFAULT_LIMITS, type HostProviders, type Limits, Run, withinStack } from "./evaluation.ts";
import { compileError } from "./fault.ts";
import { type MetadataReader, moduleMetadata, readAnnotations } from "./metadata.ts";
import { parseModule } from "./parse-modules.ts";
import { type CompiledQuery, compileQuery } from "./query.ts";
import { ModuleNames } from "./resolve-names.ts";
import type { ResolveContext } from "./resolve-terms.ts";
import { ruleValue } from "./rule-evaluation.ts";
import { indexRules } from "./rule-index.ts";
import { checkTree, claimNode, RuleNode } from "./rule-tree.ts";
import { equalValues, measure, metered, RegoObject, type Value } from "./values.ts";

export interface ModuleSource {
  /** File name, for messages. */
  readonly name: string;
  readonly text: string;
}

export interface CompileOptions {
  /** Modules without `import rego.v1` are Rego v0; otherwise they are v1. */
  readonly v0?: boolean;
  /** Reads `# METADATA` annotations for `rego.metadata.*`; without it these give empty documents. */
  readonly metadata?: MetadataReader;
}

export interface EvaluateOptions {
  readonly input?: Value | undefined;
  readonly data?: Value | undefined;
  readonly limits?: Partial<Limits>;
  /** An erring builtin ends the evaluation instead of being undefined. */
  readonly strictBuiltinErrors?: boolean;
  readonly host?: HostProviders;
  readonly onPrint?: (text: string, at: Position) => void;
  /** Told how many steps an evaluation took that came to its end. */
  readonly onSteps?: (taken: number) => void;
}

export type Result = { readonly defined: true; readonly value: Value } | { readonly defined: false };

const UNDEFINED: Result = { defined: false };

/** Queries compiled for `evaluate` that are kept. */
const MAX_KEPT_QUERIES = 64;

/**
 * Parses and compiles modules.
 *
 * @throws KataError `policy-syntax` or `policy-compile` with file, line and column.
 */
export function compileModules(sources: readonly ModuleSource[], options: CompileOptions = {}): Program {
  const dialect: Dialect = options.v0 ? "v0" : "v1";
  return withinStack(DEFAULT_LIMITS, () => {
    const modules = sources.map(({ name, text }) => parseModule(name, text, dialect));
    return new Program(modules, dialect, options.metadata);
  });
}

export class Program {
  /** Builtins that modules may call. */
  readonly builtins: BuiltinTable = ALL_BUILTINS;
  readonly root = new RuleNode(undefined, null);
  readonly modules: readonly Module[];
  private readonly dialect: Dialect;
  private readonly withDefault = new Set<RuleNode>();
  private readonly queries = new Map<string, CompiledQuery>();

  constructor(modules: readonly Module[], dialect: Dialect, metadata?: MetadataReader) {
    this.modules = modules;
    this.dialect = dialect;
    this.root.isPackage = true;
    const placed = modules.map((module) => ({ module, rules: this.place(module) }));
    const annotations = readAnnotations(modules, metadata);
    const analyses = new Map<RuleNode, RuleAnalysis[]>();
    for (const { module, rules } of placed) {
      const names = new ModuleNames(this.packageNode(module.package), module.package, module.imports);
      const metadataOf = moduleMetadata(module, annotations);
      for (const { rule, node } of rules) {
        const context = this.contextFor(names, node, metadataOf(rule));
        if (rule.isDefault) {
          node.fallback = compileDefault(rule, context);
        } else {
          const list = analyses.get(node) ?? [];
          list.push(compileRule(rule, context));
          analyses.set(node, list);
        }
      }
    }
    for (const [node, list] of analyses) finishNode(node, list);
    checkTree(this.root);
  }

  /**
   * Evaluates a query: one or more expressions, such as `data.agent_policy.CreateContainerRequest`.
   *
   * The value is the object of the query's variables if it has any, else the value of its last expression; of
   * several solutions it is the last one.
   *
   * @throws KataError `policy-syntax` or `policy-compile` if the query is wrong, `policy-evaluation` on a conflict or
   *   a strict builtin's error, `policy-limit` at a limit.
   */
  evaluate(query: string, options: EvaluateOptions = {}): Result {
    let compiled = this.queries.get(query);
    if (!compiled) {
      compiled = withinStack(DEFAULT_LIMITS, () => compileQuery(query, this));
      if (this.queries.size >= MAX_KEPT_QUERIES) this.queries.clear();
      this.queries.set(query, compiled);
    }
    const run = this.start(options);
    const ready = compiled;
    return finish(run, options, () => ready.evaluate(run));
  }

  /**
   * The value of one rule, found without compiling a query.
   *
   * @param path the rule's full name, as `data.agent_policy.CreateContainerRequest`, names only.
   * @throws KataError as {@link evaluate}.
   */
  evaluateRule(path: string, options: EvaluateOptions = {}): Result {
    let node: RuleNode | undefined = this.root;
    for (const name of path.split(".").slice(1)) node = node?.child(name);
    if (node?.kind === undefined) return this.evaluate(path, options);
    const rule = node;
    const run = this.start(options);
    return finish(run, options, () => ruleValue(run, rule));
  }

  get queryDialect(): Dialect {
    return this.dialect;
  }

  /** What names mean in a query: no package, no imports. */
  queryContext(): ResolveContext {
    return this.contextFor(new ModuleNames(new RuleNode(undefined, null), [], []), undefined, {
      rule: new RegoObject(),
      chain: [],
    });
  }

  private start(options: EvaluateOptions): Run {
    const scope = {
      input: options.input,
      base: options.data ?? new RegoObject(),
      masked: undefined,
      mocks: undefined,
      memo: new Map<RuleNode, Value | undefined>(),
    };
    return new Run(scope, {
      limits: { ...DEFAULT_LIMITS, ...options.limits },
      strict: options.strictBuiltinErrors ?? false,
      host: options.host ?? {},
      onPrint: options.onPrint ?? (() => undefined),
    });
  }

  private packageNode(path: readonly string[]): RuleNode {
    let node = this.root;
    for (const name of path) {
      node = node.grow(name);
      node.isPackage = true;
    }
    return node;
  }

  /** Gives every rule of a module its place in the tree. */
  private place(module: Module): { readonly rule: Rule; readonly node: RuleNode }[] {
    const packageNode = this.packageNode(module.package);
    return module.rules.map((rule) => {
      let node = packageNode;
      for (const step of rule.head.path.slice(0, fixedSteps(rule.head.path))) {
        if (step.kind === "scalar") node = node.grow(step.value);
      }
      claimNode(node, kindOf(rule), rule.head.args?.length ?? 0, rule.at);
      if (rule.isDefault) {
        if (this.withDefault.has(node))
          throw compileError(rule.at, `multiple default rules ${node.describe()} found`);
        this.withDefault.add(node);
      }
      return { rule, node };
    });
  }

  private contextFor(
    names: ModuleNames,
    node: RuleNode | undefined,
    metadata: ResolveContext["metadata"],
  ): ResolveContext {
    const note = (on: RuleNode, at: Position) => {
      if (node && !node.dependencies.has(on)) node.dependencies.set(on, at);
    };
    return {
      names,
      root: this.root,
      builtins: this.builtins,
      metadata,
      dependOnFunction: note,
      depend: (path, at) => {
        if (node) for (const reached of reachable(this.root, path, 0)) note(reached, at);
      },
    };
  }
}

/** Evaluates within the bounds of `run`; what comes out is small enough to be printed within them. */
function finish(run: Run, options: EvaluateOptions, evaluate: () => Value | undefined): Result {
  return withinStack(run.limits, () =>
    metered(run, () => {
      const value = evaluate();
      if (value !== undefined) measure(value);
      options.onSteps?.(run.stepsTaken);
      return value === undefined ? UNDEFINED : { defined: true, value };
    }),
  );
}

/** The nodes with rules that a reference with these steps can read. */
function* reachable(
  node: RuleNode,
  path: readonly (Value | undefined)[],
  from: number,
): IterableIterator<RuleNode> {
  if (node.kind !== undefined && node.kind !== "function") {
    yield node;
    if (node.kind !== "partial") return;
  }
  const isEnd = from >= path.length;
  const key = path[from];
  for (const child of node.children.values()) {
    if (isEnd || key === undefined || equalValues(child.key, key)) yield* reachable(child, path, from + 1);
  }
}

function finishNode(node: RuleNode, list: readonly RuleAnalysis[]): void {
  node.rules = list.map(({ rule }) => rule);
  node.index = indexRules(list);
  const [first] = list;
  const constant = first?.constant;
  node.firstDecides =
    constant !== undefined &&
    list.every((other) => other.constant !== undefined && equalValues(constant, other.constant));
}

/** True for a policy that cannot be used, as opposed to one whose evaluation failed. */
export function isPolicyFault(error: unknown): error is KataError {
  return error instanceof KataError && (error.code === "policy-syntax" || error.code === "policy-compile");
}
