/**
 * What the agent's second part offers: the policy engine and what reads initdata.
 *
 * It is bundled for itself and only run when a policy or initdata is there, so that guests without one do not carry it in memory.
 * Its classes are not the agent's: only plain values go between, and failures are values, too.
 */

export interface Failure {
  readonly ok: false;
  /** Code of a KataError. */
  readonly code: string;
  readonly message: string;
}

export type Outcome<T> = { readonly ok: true; readonly value: T } | Failure;

/** A decoded message of the protocol. */
export type RequestMessage = Readonly<Record<string, unknown>>;

export type PolicyDecision =
  | { readonly allowed: true; readonly overruled?: string }
  | { readonly allowed: false; readonly reason: string };

export interface LoadedPolicy {
  /** @param kind the message's name in the protocol. */
  decide(kind: string, request: RequestMessage): Outcome<PolicyDecision>;
}

/** What the machine was given before its first word. */
export interface GuestInitdata {
  /** The policy in it, if there is one. */
  readonly policy: string | undefined;
  /** Why it could not be compared with what the machine was started with. */
  readonly unchecked: string | undefined;
}

export interface AgentExtension {
  loadPolicy(text: string): Outcome<LoadedPolicy>;
  /** The request as a policy sees it, as JSON. */
  describeRequest(kind: string, request: RequestMessage): string;
  /** Takes initdata over, or its absence. @param payload compressed. */
  takeInitdata(payload: Uint8Array | undefined): Outcome<GuestInitdata>;
}
