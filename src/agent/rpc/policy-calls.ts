/** The call about the agent's policy. */
import type { PolicyGate } from "../policy/policy-gate.ts";
import type { AgentServiceHandlers } from "./generated.ts";

export function policyCalls(gate: PolicyGate): Pick<AgentServiceHandlers, "setPolicy"> {
  return {
    async setPolicy(request) {
      gate.set(request.policy);
      return {};
    },
  };
}
