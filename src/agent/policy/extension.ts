/** The agent's second part: see `extension-types.ts`. */
import { describeError, KataError } from "../../kata-error.ts";
import { AgentPolicy } from "../../policy/agent-policy/agent-policy.ts";
import { type CopyFileFields, copyFileValue, requestValue } from "../../policy/agent-policy/request-value.ts";
import { formatJson } from "../../policy/rego/json.ts";
import type { Value } from "../../policy/rego/values.ts";
import { CLOCK_REALTIME, clockGettime } from "../../sys/time.ts";
import { utf8Decode } from "../../sys/utf8.ts";
import { adoptInitdata } from "./adopt-initdata.ts";
import type {
  AgentExtension,
  GuestInitdata,
  LoadedPolicy,
  Outcome,
  RequestMessage,
} from "./extension-types.ts";
import { checkHostData } from "./host-data.ts";

const HOST = { now: () => clockGettime(CLOCK_REALTIME), random: () => Math.random() };

export const extension: AgentExtension = {
  loadPolicy: (text) =>
    attempt((): LoadedPolicy => {
      const policy = AgentPolicy.load(text, HOST);
      return { decide: (kind, request) => attempt(() => policy.decide(kind, inputOf(kind, request))) };
    }),

  describeRequest: (kind, request) => formatJson(inputOf(kind, request)),

  takeInitdata: (payload) =>
    attempt((): GuestInitdata => {
      const adopted = payload === undefined ? undefined : adoptInitdata(payload);
      return { policy: adopted?.policy, unchecked: checkHostData(adopted && (() => adopted.digest())) };
    }),
};

function inputOf(kind: string, request: RequestMessage): Value {
  return kind === "CopyFileRequest"
    ? copyFileValue(request as unknown as CopyFileFields, utf8Decode)
    : requestValue(request);
}

function attempt<T>(work: () => T): Outcome<T> {
  try {
    return { ok: true, value: work() };
  } catch (error) {
    return {
      ok: false,
      code: error instanceof KataError ? error.code : "internal",
      message: describeError(error),
    };
  }
}
