/** Our rules under requests that no runtime makes. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { KataError } from "../../kata-error.ts";
import { AgentPolicy } from "../agent-policy/agent-policy.ts";
import { fromJson } from "../rego/json.ts";
import type { Json } from "./json.ts";
import { policyText } from "./policy-data.ts";
import { allScenarios } from "./testing/all-scenarios.ts";
import { RULES } from "./testing/policy-maker.ts";

const RUNS = 400;

/** Paths to all parts of a document. */
function pathsOf(value: Json, path: readonly string[] = []): string[][] {
  const below =
    typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([key, part]) => pathsOf(part, [...path, key]))
      : [];
  return path.length === 0 ? below : [[...path], ...below];
}

function replaced(value: Json, path: readonly string[], by: unknown): Json {
  const copy = structuredClone(value);
  let place = copy as Record<string, unknown>;
  for (const key of path.slice(0, -1)) place = place[key] as Record<string, unknown>;
  const last = path.at(-1) ?? "";
  if (by !== undefined) place[last] = by;
  else if (Array.isArray(place)) place.splice(Number(last), 1);
  else delete place[last];
  return copy;
}

const scenarios = await allScenarios();
const [strict] = scenarios;
if (strict === undefined) throw new Error("no scenarios");
const allowedSteps = strict.steps.filter(
  ({ breaks, kind }) => breaks === undefined && kind === "CreateContainerRequest",
);
const compiled = AgentPolicy.load(policyText(RULES, strict.data));

/**
 * Texts that the rules leave to the runtime: what it calls a process and a block device, what nothing in the guest goes by, and
 * the network, which is the first container's word.
 */
const FREE = [
  "OCI/Annotations/io.katacontainers.pkg.oci.bundle_path",
  "OCI/Annotations/io.kubernetes.container.terminationMessagePath",
  "OCI/Annotations/io.kubernetes.cri.image-name",
  "OCI/Annotations/io.kubernetes.cri.sandbox-uid",
  "OCI/Hostname",
  "OCI/Linux/Devices/0/Type",
  "OCI/Linux/Namespaces/3/Path",
  "OCI/Process/ApparmorProfile",
  "devices/0/id",
  "devices/0/type_",
  "devices/0/vm_path",
  "exec_id",
];

test("no damaged request ends otherwise than in a decision or an error of the policy", () => {
  const strange = fc.oneof(
    fc.constant(undefined),
    fc.jsonValue({ maxDepth: 2 }),
    fc.constant(null),
    fc.constant("../.."),
  );
  const damage = fc.array(fc.tuple(fc.nat(), strange), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.nat(), damage, (which, changes) => {
      const step = allowedSteps[which % allowedSteps.length];
      if (step === undefined) return;
      const request = changes.reduce((current, [index, by]) => {
        const paths = pathsOf(current);
        return replaced(current, paths[index % paths.length] ?? [], by);
      }, step.request);
      try {
        compiled.restarted().decide("CreateContainerRequest", fromJson(request));
      } catch (error) {
        if (!(error instanceof KataError) || !error.code.startsWith("policy-")) throw error;
      }
    }),
    { numRuns: RUNS },
  );
});

test("no text of a request can be exchanged for another one unless the runtime is free to choose it", () => {
  const request = allowedSteps.find(({ title }) => title === "container")?.request;
  if (request === undefined) throw new Error("no request");
  const texts = pathsOf(request).filter((path) => {
    const value = path.reduce<unknown>((place, key) => (place as Record<string, unknown>)[key], request);
    return typeof value === "string";
  });
  const survivors = texts.filter((path) => {
    const changedRequest = replaced(request, path, "/evil/../x");
    return compiled.restarted().decide("CreateContainerRequest", fromJson(changedRequest)).allowed;
  });
  expect(survivors.map((path) => path.join("/")).sort()).toEqual(FREE);
});
