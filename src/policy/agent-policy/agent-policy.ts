/**
 * The policy that the agent asks before it does what the host wants, with the policy's memory.
 *
 * Source of the contract: upstream's agent policy: the rule `data.agent_policy.<Request>` gives true, false, or
 * `{allowed, ops}`, where `ops` is an RFC 6902 patch of the data document that begins as `{"pstate": {}}`.
 */
import { hasCode, KataError } from "../../kata-error.ts";
import { patchDocument } from "../rego/builtins/json-documents.ts";
import type { HostProviders, Limits } from "../rego/evaluation.ts";
import { parseJson } from "../rego/json.ts";
import { compileModules, type Program } from "../rego/program.ts";
import { isArray, RegoObject, type Value } from "../rego/values.ts";

/** Bytes in a policy, as upstream bounds it. */
export const MAX_POLICY_BYTES = 16 * 1024 * 1024;
/** Bytes in one line of a policy. */
export const MAX_LINE_BYTES = 64 * 1024;
export const MAX_POLICY_LINES = 200_000;

/** What one request may cost; our own rules with ten containers take a thousandth of it. */
const REQUEST_LIMITS: Partial<Limits> = { steps: 5_000_000 };

/** Characters of printed reasons that an answer carries. */
const MAX_REASON_LENGTH = 4096;

const FILE_NAME = "policy.rego";

export type Decision =
  | { readonly allowed: true; readonly overruled?: string }
  | { readonly allowed: false; readonly reason: string };

/** A policy in force. A new policy is a new object: memory does not outlive it. */
export class AgentPolicy {
  private readonly program: Program;
  private readonly allowsFailing: boolean;
  private readonly constants: Value | undefined;
  private readonly host: HostProviders;
  private data: Value;

  private constructor(program: Program, constants: Value | undefined, host: HostProviders) {
    this.program = program;
    this.constants = constants;
    this.host = host;
    const fields: [string, Value][] = [["pstate", new RegoObject()]];
    if (constants !== undefined) fields.push([CONSTANTS, constants]);
    this.data = RegoObject.of(fields);
    const result = program.evaluateRule("data.agent_policy.AllowRequestsFailingPolicy", {
      input: new RegoObject(),
      data: this.data,
      host,
    });
    this.allowsFailing = result.defined && result.value === true;
  }

  /**
   * Reads a policy: Rego v0 with or without `future.keywords`, or v1.
   *
   * @param host what builtins may know of the machine, as the time.
   * @throws KataError `policy-limit` if it is too large, `policy-syntax` or `policy-compile` with line and column.
   */
  static load(text: string, host: HostProviders = {}): AgentPolicy {
    checkSize(text);
    const { rules, constants } = takeOutData(text);
    return new AgentPolicy(compilePolicy(rules), constants, host);
  }

  /** The same policy with an empty memory, as if it had just been loaded. */
  restarted(): AgentPolicy {
    return new AgentPolicy(this.program, this.constants, this.host);
  }

  /**
   * The same rules over other data, with an empty memory.
   *
   * @throws KataError `invalid-argument` unless this policy ends in JSON data, as generated ones do.
   */
  withData(constants: Value): AgentPolicy {
    if (this.constants === undefined) {
      const hint = "it has no data of its own";
      throw new KataError("invalid-argument", {
        operation: "change data of policy",
        object: FILE_NAME,
        hint,
      });
    }
    return new AgentPolicy(this.program, constants, this.host);
  }

  /**
   * Decides on a request and keeps what is to be remembered of it.
   *
   * @param kind the message's name, as `CreateContainerRequest`.
   * @param request the message as JSON with the field names of the protocol.
   * @returns a refusal with the policy's reasons; if the policy allows failing requests, consent with the reasons as
   *   `overruled`.
   * @throws KataError `policy-evaluation` or `policy-limit` if the policy cannot decide: the request is to be refused.
   */
  decide(kind: string, request: Value): Decision {
    const prints: string[] = [];
    const result = this.program.evaluateRule(`data.agent_policy.${kind}`, {
      input: request,
      data: this.data,
      limits: REQUEST_LIMITS,
      host: this.host,
      onPrint: (text) => prints.push(text),
    });
    const outcome = result.defined ? result.value : undefined;
    if (outcome === true) return { allowed: true };
    if (outcome instanceof RegoObject) {
      if (outcome.get("allowed") === true) {
        this.apply(kind, outcome.get("ops"));
        return { allowed: true };
      }
      if (outcome.get("allowed") !== false) throw unusable(kind, "an object without a boolean `allowed`");
    } else if (outcome !== undefined && outcome !== false) {
      throw unusable(kind, "neither a boolean nor an object");
    }
    if (outcome === undefined) prints.push(`the policy has no rule ${kind}`);
    const reason = `${kind} is blocked by policy: ${prints.join("; ").slice(0, MAX_REASON_LENGTH)}`;
    return this.allowsFailing ? { allowed: true, overruled: reason } : { allowed: false, reason };
  }

  /** What the policy remembers, for tests and debugging. */
  get memory(): Value {
    return this.data;
  }

  private apply(kind: string, operations: Value | undefined): void {
    if (operations === undefined || operations === null) return;
    if (!isArray(operations)) throw unusable(kind, "`ops` that are no array");
    if (operations.length === 0) return;
    const changed = patchDocument(this.data, operations);
    if (changed === undefined) throw unusable(kind, "`ops` that do not fit its data");
    this.data = changed;
  }
}

/** Where the data that a generated policy ends in is kept. */
const CONSTANTS = "agent_policy_constants";
const DATA_RULE = "\npolicy_data := ";

/**
 * Takes the JSON out that a generated policy ends in: as such it is read many times faster than as Rego. A policy of any other
 * form stays as it is.
 */
function takeOutData(text: string): { readonly rules: string; readonly constants: Value | undefined } {
  const at = text.lastIndexOf(DATA_RULE);
  if (at < 0) return { rules: text, constants: undefined };
  const begin = at + DATA_RULE.length;
  try {
    const constants = parseJson(text.slice(begin));
    return { rules: `${text.slice(0, begin)}data.${CONSTANTS}\n`, constants };
  } catch (error) {
    if (hasCode(error, "invalid-json")) return { rules: text, constants: undefined };
    throw error;
  }
}

function compilePolicy(text: string): Program {
  const sources = [{ name: FILE_NAME, text }];
  try {
    return compileModules(sources, { v0: true });
  } catch (error) {
    if (!(error instanceof KataError) || error.code !== "policy-syntax") throw error;
    // A policy of Rego v1 without `import rego.v1`; if it is none either, the first error is as good.
    return compileModules(sources);
  }
}

function checkSize(text: string): void {
  const tooLarge = (what: string) =>
    new KataError("policy-limit", { operation: "load policy", object: FILE_NAME, hint: what });
  if (text.length > MAX_POLICY_BYTES) throw tooLarge(`at most ${MAX_POLICY_BYTES} bytes are read`);
  const lines = text.split("\n");
  if (lines.length > MAX_POLICY_LINES) throw tooLarge(`at most ${MAX_POLICY_LINES} lines are read`);
  const long = lines.findIndex((line) => line.length > MAX_LINE_BYTES);
  if (long >= 0) throw tooLarge(`line ${long + 1} is longer than ${MAX_LINE_BYTES} bytes`);
}

function unusable(kind: string, what: string): KataError {
  return new KataError("policy-evaluation", {
    operation: "ask policy",
    object: kind,
    hint: `the policy's rule gives ${what}`,
  });
}
