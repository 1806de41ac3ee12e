/**
 * The agent's policy: asked before anything is done that the host wants.
 *
 * Without a policy everything is allowed, setting one included, and nothing of the engine is in memory. The host cannot take a
 * policy away: only another one takes its place, and only if the one in force allows that.
 */
import { KataError } from "../../kata-error.ts";
import { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY, open, writeAll } from "../../sys/files.ts";
import type { Logger } from "../../sys/log.ts";
import { utf8Encode } from "../../sys/utf8.ts";
import type { AgentExtension, LoadedPolicy, RequestMessage } from "./extension-types.ts";

/** Where requests are written down for who makes policies, as upstream's agent does. */
const REQUEST_LOG = "/tmp/policy.jsonl";
/** Bytes; it is memory of the guest. */
const MAX_REQUEST_LOG = 16 * 1024 * 1024;
/** They come by the thousand, and upstream leaves them out. */
const NOT_LOGGED = new Set(["StatsContainerRequest", "ReadStreamRequest", "SetPolicyRequest"]);

export interface PolicyGateOptions {
  readonly logger: Logger;
  readonly extension: () => AgentExtension;
  /** Whether requests are written to {@link REQUEST_LOG}. */
  readonly logsRequests: boolean;
}

export class PolicyGate {
  readonly #options: PolicyGateOptions;
  #policy: LoadedPolicy | undefined;
  #loggedBytes = 0;

  constructor(options: PolicyGateOptions) {
    this.#options = options;
  }

  /** Whether there is a policy. */
  get isClosed(): boolean {
    return this.#policy !== undefined;
  }

  /**
   * Puts a policy in force, with an empty memory. The one before stays if this fails.
   *
   * @throws KataError `invalid-argument` with the policy's line and column.
   */
  set(text: string): void {
    const loaded = this.#options.extension().loadPolicy(text);
    if (!loaded.ok) {
      throw new KataError("invalid-argument", { operation: "set policy", object: loaded.message });
    }
    this.#policy = loaded.value;
    this.#options.logger.info("a policy is in force", { bytes: text.length });
  }

  /**
   * Asks the policy about a request; it remembers what the request changes.
   *
   * @throws KataError `permission-denied` with the policy's reasons, `internal` if the policy cannot decide.
   */
  check(kind: string, request: RequestMessage): void {
    const policy = this.#policy;
    if (policy === undefined) return;
    if (this.#options.logsRequests && !NOT_LOGGED.has(kind)) this.#log(kind, request);
    const decided = policy.decide(kind, request);
    if (!decided.ok) {
      throw new KataError("internal", { operation: kind, object: `internal error: ${decided.message}` });
    }
    const { value } = decided;
    if (!value.allowed) throw refusal(kind, value.reason);
    if (value.overruled !== undefined) {
      this.#options.logger.warn("allowed although the policy refuses it", { reason: value.overruled });
    }
  }

  #log(kind: string, request: RequestMessage): void {
    const line = `{"kind":${JSON.stringify(kind)},"request":${this.#options.extension().describeRequest(kind, request)}}\n`;
    const bytes = utf8Encode(line);
    this.#loggedBytes += bytes.length;
    if (this.#loggedBytes > MAX_REQUEST_LOG) return;
    using file = open(REQUEST_LOG, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
    writeAll(file.fd, bytes);
  }
}

/** `KIND is blocked by policy: REASONS`, as upstream's agent words it. */
function refusal(kind: string, reason: string): KataError {
  const operation = `${kind} is blocked by policy`;
  return new KataError("permission-denied", {
    operation,
    object: reason.startsWith(`${operation}: `) ? reason.slice(operation.length + 2) : reason,
  });
}
