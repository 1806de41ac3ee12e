/** `genpolicy check`: requests against a policy, as the agent in the guest would answer them. */
import { describeError, KataError } from "../../kata-error.ts";
import { AgentPolicy, type Decision } from "../agent-policy/agent-policy.ts";
import { fromJson } from "../rego/json.ts";
import type { CommandHost } from "./command-host.ts";
import { INITDATA_ANNOTATION, POLICY_ANNOTATION } from "./container/annotations.ts";
import { decodeInitdata, POLICY_KEY } from "./initdata.ts";
import { type Json, Node } from "./json.ts";
import { readManifests } from "./kubernetes/resources.ts";

export interface RequestCase {
  readonly description: string;
  /** The message's name. */
  readonly kind: string;
  readonly request: Json;
  readonly allowed: boolean;
}

export interface CaseResult {
  readonly isExpected: boolean;
  readonly allowed: boolean;
  readonly reason: string;
}

/** Prints a line for each case; false if one was decided otherwise than expected. */
export async function checkCommand(
  policyPath: string,
  requestsPath: string,
  host: CommandHost,
): Promise<boolean> {
  const policy = AgentPolicy.load(policyOf(policyPath, await host.readFile(policyPath)));
  const cases = parseCases(requestsPath, await host.readFile(requestsPath));
  let mismatches = 0;
  for (const requestCase of cases) {
    const { isExpected, allowed, reason } = runCase(policy, requestCase);
    if (!isExpected) mismatches++;
    const because = reason === "" ? "" : ` (${reason.replaceAll("\n", " ")})`;
    await host.writeOut(
      `${isExpected ? "ok" : "MISMATCH"}: ${requestCase.kind} ${allowed ? "allowed" : "denied"}: ${requestCase.description}${because}\n`,
    );
  }
  host.writeError(`${cases.length - mismatches} of ${cases.length} cases as expected\n`);
  return mismatches === 0;
}

/** Asks the policy, which goes on from the cases before. */
export function runCase(policy: AgentPolicy, { kind, request, allowed }: RequestCase): CaseResult {
  let decision: Decision;
  try {
    decision = policy.decide(kind, fromJson(request));
  } catch (error) {
    if (!(error instanceof KataError)) throw error;
    // The agent refuses what its policy cannot decide.
    decision = { allowed: false, reason: describeError(error) };
  }
  const reason = decision.allowed ? (decision.overruled ?? "") : decision.reason;
  return { isExpected: decision.allowed === allowed, allowed: decision.allowed, reason };
}

/**
 * Reads `[{description, kind, request, allowed}]`.
 *
 * @throws KataError `invalid-document`.
 */
export function parseCases(name: string, text: string): RequestCase[] {
  let document: Json;
  try {
    document = JSON.parse(text) as Json;
  } catch (error) {
    const hint = error instanceof Error ? error.message : "no JSON";
    throw new KataError("invalid-document", { operation: "read requests", object: name, hint });
  }
  return new Node(document, name).items().map((node) => {
    const allowed = node.at("allowed").flag();
    if (allowed === undefined) throw node.at("allowed").wrong("true or false");
    return {
      description: node.at("description").text() ?? "",
      kind: node.at("kind").requiredText(),
      request: node.at("request").value ?? {},
      allowed,
    };
  });
}

/** The policy in a file: Rego, or a Kubernetes object with the policy in an annotation. */
function policyOf(path: string, text: string): string {
  if (!/\.ya?ml$/.test(path)) return text;
  for (const { pod } of readManifests(path, text, true).workloads) {
    const annotations = pod.at("metadata", "annotations");
    const initdata = annotations.at(INITDATA_ANNOTATION).text();
    const policy =
      initdata === undefined
        ? Buffer.from(annotations.at(POLICY_ANNOTATION).text() ?? "", "base64").toString("utf8")
        : decodeInitdata(initdata).data[POLICY_KEY];
    if (policy) return policy;
  }
  throw new KataError("invalid-document", {
    operation: "find policy",
    object: path,
    hint: "no pod in it has one",
  });
}
