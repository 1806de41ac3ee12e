/** What a policy can know of its surroundings, and builtins that need a network, which this engine never has. */
import { builtin, fault } from "../builtin-registry.ts";
import { RegoObject } from "../values.ts";

export const SURROUNDINGS = [
  builtin("opa.runtime", "", (_, { host }) => host.environment?.() ?? new RegoObject()),
  builtin("trace", "s", () => true),
  builtin("rego.metadata.rule", "", () => new RegoObject()),
  builtin("rego.metadata.chain", "", () => []),
  builtin("http.send", "o", () => {
    throw fault("http.send", "policies here have no network");
  }),
];
