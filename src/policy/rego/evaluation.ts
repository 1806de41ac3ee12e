/** The state of one evaluation: its inputs, what it has found out so far, and its bounds. */
import { KataError } from "../../kata-error.ts";
import type { Position } from "./ast.ts";
import type { Builtin } from "./builtin-registry.ts";
import { limitError } from "./fault.ts";
import type { CallTarget } from "./ir.ts";
import type { RuleNode } from "./rule-tree.ts";
import type { RegoObject, Value } from "./values.ts";

/** Bounds of an evaluation; reaching one ends it with KataError `policy-limit`. */
export interface Limits {
  /** Steps: expressions tried, members visited, calls made. */
  readonly steps: number;
  /** Rules and functions that may wait for each other. */
  readonly depth: number;
  /** Units of 16 bytes or so that values made by the policy may take together. */
  readonly memory: number;
}

export const DEFAULT_LIMITS: Limits = { steps: 20_000_000, depth: 500, memory: 10_000_000 };

/** What only the host can do; a builtin whose provider is absent fails. */
export interface HostProviders {
  /** Nanoseconds since 1970. */
  readonly now?: () => bigint;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  readonly environment?: () => RegoObject;
  /** Seconds east of UTC in zone `zone` at `seconds` since 1970 and the zone's abbreviation; undefined for an unknown zone. */
  readonly zone?: (
    zone: string,
    seconds: number,
  ) => { readonly offset: number; readonly name: string } | undefined;
  readonly certificates?: CertificateProvider;
  readonly schemas?: SchemaProvider;
}

/** JSON schemas. Both call `step` for each part that they look at, which ends them at the limit. */
export interface SchemaProvider {
  /** What of `document` is not as the schema wants it. @throws BuiltinFault for a schema that is none. */
  issues(
    schema: Value,
    document: Value,
    step: () => void,
  ): readonly { readonly type: string; readonly field: string; readonly desc: string }[];
  /** @throws BuiltinFault for a schema that is none. */
  check(schema: Value, step: () => void): void;
}

/** Public-key work of the host's library; values are in the shape that OPA gives. */
export interface CertificateProvider {
  parseCertificates(pemOrBase64: string): Value;
  parseAndVerify(chain: string, nowMs: number): Value;
  parseRequest(pemOrBase64: string): Value;
  parsePrivateKey(pem: string): Value;
  parseKeyPair(certificate: string, key: string): Value;
  /** True if `signature` of `message` is by `key`, a certificate or key in PEM or a JWK (set) in JSON. */
  verify(algorithm: string, key: string, message: Uint8Array, signature: Uint8Array): boolean;
  sign(algorithm: string, jwk: string, message: Uint8Array): Uint8Array;
}

/** What `with` changes: everything found out under one scope holds for it alone. */
export interface Scope {
  readonly input: Value | undefined;
  readonly base: Value;
  /** Nodes whose rules are replaced by base data. */
  readonly masked: ReadonlySet<RuleNode> | undefined;
  readonly mocks: ReadonlyMap<Builtin | RuleNode, CallTarget | Value> | undefined;
  readonly memo: Map<RuleNode, Value | undefined>;
}

/** What a rule's solutions are gathered in. */
export class Sink {
  value: Value | undefined;
  constructor(value?: Value) {
    this.value = value;
  }
}

/** Variables and result of one rule's evaluation. */
export class Frame {
  readonly run: Run;
  readonly slots: (Value | undefined)[];
  /** A branch of the rule has found a solution. */
  solved = false;
  /** Scopes that `with` goes back to. */
  scopes: Scope[] | undefined;
  readonly sink: Sink;

  constructor(run: Run, slots: number, sink: Sink) {
    this.run = run;
    this.slots = new Array<Value | undefined>(slots).fill(undefined);
    this.sink = sink;
  }
}

export class Run {
  scope: Scope;
  readonly limits: Limits;
  readonly strict: boolean;
  readonly host: HostProviders;
  readonly onPrint: (text: string, at: Position) => void;
  /** Values that must not change during an evaluation: time, random numbers, parsed regular expressions. */
  readonly once = new Map<string, Value>();
  private steps = 0;
  private memory = 0;
  private depth = 0;

  constructor(
    scope: Scope,
    options: {
      readonly limits: Limits;
      readonly strict: boolean;
      readonly host: HostProviders;
      readonly onPrint: (text: string, at: Position) => void;
    },
  ) {
    this.scope = scope;
    this.limits = options.limits;
    this.strict = options.strict;
    this.host = options.host;
    this.onPrint = options.onPrint;
  }

  /** Counts one step. */
  step(): void {
    if (++this.steps > this.limits.steps) throw limitError("steps", this.limits.steps);
  }

  /** Counts `count` steps at once: a builtin's loop. */
  spend(count: number): void {
    this.steps += count;
    if (this.steps > this.limits.steps) throw limitError("steps", this.limits.steps);
  }

  /** Counts memory before it is taken. */
  charge(units: number): void {
    this.memory += units;
    if (this.memory > this.limits.memory) throw limitError("memory", this.limits.memory);
  }

  enter(): void {
    if (++this.depth > this.limits.depth) throw limitError("depth", this.limits.depth);
  }

  leave(): void {
    this.depth--;
  }

  get stepsTaken(): number {
    return this.steps;
  }
}

/** Runs `work`, turning the engine's exhausted stack into the same error as any other limit. */
export function withinStack<T>(limits: Limits, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof KataError) throw error;
    const isOverflow = error instanceof Error && /stack|recursion/i.test(error.message);
    if (isOverflow) throw limitError("stack", limits.depth);
    throw error;
  }
}
