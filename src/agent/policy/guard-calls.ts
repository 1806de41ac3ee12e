/** Puts the policy before every call. */
import type { CallContext } from "../../rpc/types.ts";
import type { AgentServiceHandlers } from "../rpc/generated.ts";
import type { RequestMessage } from "./extension-types.ts";
import type { PolicyGate } from "./policy-gate.ts";
import { REQUEST_KINDS } from "./request-kinds.ts";

type Handler = (request: RequestMessage, context: CallContext) => Promise<unknown>;

/** `handlers`, each behind `gate`: what the policy refuses is not begun. */
export function guardCalls(
  handlers: Partial<AgentServiceHandlers>,
  gate: PolicyGate,
): Partial<AgentServiceHandlers> {
  const guarded: Record<string, Handler> = {};
  for (const [name, handler] of Object.entries(handlers)) {
    const kind = REQUEST_KINDS[name as keyof AgentServiceHandlers];
    guarded[name] = guard(kind, handler as unknown as Handler, gate);
  }
  return guarded as unknown as Partial<AgentServiceHandlers>;
}

function guard(kind: string, handler: Handler, gate: PolicyGate): Handler {
  return (request, context) => {
    if (!gate.isClosed) return handler(request, context);
    try {
      gate.check(kind, request);
    } catch (error) {
      return Promise.reject(error);
    }
    return handler(request, context);
  };
}
