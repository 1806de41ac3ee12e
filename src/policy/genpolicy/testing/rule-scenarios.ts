/**
 * Requests and what our rules must say to them: for each rule one that it allows and one that it alone refuses.
 *
 * A scenario is a pod with settings and a list of steps against one policy. The mutation test runs all scenarios with rules
 * that lack something, so a rule that no step needs is found.
 */
import { AgentPolicy } from "../../agent-policy/agent-policy.ts";
import { parseJson } from "../../rego/json.ts";
import { runCase } from "../check-command.ts";
import type { Json } from "../json.ts";
import type { PolicyData } from "../policy-data.ts";
import { policyDataText, policyText } from "../policy-data.ts";
import { CASE_IMAGES } from "./image-layout.ts";
import { policyFor, RULES } from "./policy-maker.ts";
import { policyDataOf } from "./runtime-requests.ts";

export interface Step {
  readonly title: string;
  readonly kind: string;
  readonly request: Json;
  /** The rules that a refusal must name, all of them; undefined if the request is to be allowed. */
  readonly breaks?: readonly string[] | undefined;
}

export interface Scenario {
  readonly name: string;
  readonly data: PolicyData;
  readonly steps: readonly Step[];
}

/** Makes the data of a scenario from a pod and a patch of the settings. */
export async function scenarioData(pod: string, settingsPatch: readonly unknown[] = []): Promise<PolicyData> {
  return policyDataOf(await policyFor(pod, { settingsPatch, images: SCENARIO_IMAGES }));
}

const SCENARIO_IMAGES = [
  ...CASE_IMAGES,
  {
    name: "example.com/app:1",
    cmd: ["/app"],
    workingDir: "/srv",
    volumes: ["/cache"],
    layers: [{ "etc/passwd": "root:x:0:0::/:/bin/sh\n", bin: "x" }, { app: "y" }],
  },
];

/** Steps that do not come out as they should; stops at the first one if `isHasty`. */
export function failures(scenarios: readonly Scenario[], rules = RULES, isHasty = false): string[] {
  const found: string[] = [];
  const [first] = scenarios;
  if (first === undefined) return found;
  const compiled = AgentPolicy.load(policyText(rules, first.data));
  for (const { name, data, steps } of scenarios) {
    const policy = compiled.withData(parseJson(policyDataText(data)));
    for (const step of steps) {
      const fault = stepFault(policy, step);
      if (fault === undefined) continue;
      found.push(`${name}: ${step.title}: ${fault}`);
      if (isHasty) return found;
    }
  }
  return found;
}

function stepFault(policy: AgentPolicy, { title, kind, request, breaks }: Step): string | undefined {
  const { allowed, reason } = runCase(policy, {
    description: title,
    kind,
    request,
    allowed: breaks === undefined,
  });
  if (breaks === undefined) return allowed ? undefined : reason;
  if (allowed) return "it is allowed";
  const named = new Set(
    [...reason.matchAll(/\bbreaks ([^;]*)/g)].flatMap(([, names = ""]) => names.split(", ")),
  );
  // A container that breaks a rule of its own leaves the request without one.
  if (breaks.length > 0 && !breaks.includes("known_container")) named.delete("known_container");
  if (breaks.length === named.size && breaks.every((rule) => named.has(rule)) && !/no rule/.test(reason))
    return undefined;
  return `it is refused for other reasons: ${reason}`;
}

/**
 * One change of a request: a path such as `OCI/Mounts/0/source`, `~1` in it for a slash in a name, and the new value or what
 * makes it of the old one.
 */
export type Change = readonly [path: string, value: unknown];

/** A copy of `request` with changes; `undefined` takes a field away. */
export function changed(request: unknown, ...changes: readonly Change[]): Json {
  const copy = structuredClone(request);
  for (const [path, value] of changes) {
    const keys = path.split("/").map((key) => key.replaceAll("~1", "/"));
    const last = keys.pop() ?? "";
    let place = copy as Record<string, unknown>;
    for (const key of keys) {
      const below = place[key];
      if (typeof below !== "object" || below === null) throw new Error(`${path}: nothing at ${key}`);
      place = below as Record<string, unknown>;
    }
    const next = typeof value === "function" ? value(place[last]) : value;
    if (next === undefined) delete place[last];
    else place[last] = next;
  }
  return copy as Json;
}
