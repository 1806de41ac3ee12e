/** Compliance cases that our engine answers otherwise, each with its reason. */

const REASONS: readonly (readonly [RegExp, string])[] = [
  [/^v[01]\/graphql_/, "the engine has no GraphQL parser"],
  [/^v[01]\/providers-aws-/, "requests to AWS are signed by nobody in a guest"],

  [/^v[01]\/regoparsemodule\//, "the engine's syntax tree is not OPA's"],
  [/^v[01]\/net\.lookup_ip_addr\//, "policies have no network"],
  [/^v[01]\/time\/time caching$/, "the case calls test.sleep, which is a builtin of OPA's test binary"],
  [/^v[01]\/cryptox509parsecertificaterequest\/(PEM|DER), /, "Node's library reads no certificate requests"],
  [
    /^v[01]\/data\/(toplevel|nested) integer$/,
    "a number finds a text key only in OPA's storage, not in its documents",
  ],
  [/^v[01]\/rendertemplate\/complex$/, "templates have fields only, not Go's actions"],
  [
    /^v[01]\/strings\/sprintf: float too big$/,
    "numbers are exact: 2e308 is the integer, not an overflown float",
  ],
  [
    /^v[01]\/time\/add_date too (large|small) result$/,
    "undefined without an error, as the agent's users know it",
  ],
  [
    /^v1\/string-interpolation\/.*template-string function arg$/,
    "a parameter is a pattern, not a computed text",
  ],
  [
    /^v1\/string-interpolation\/.*with in template expression$/,
    "'with' stands behind an expression of a body only",
  ],
];

/** Why the case called `name` fails, or undefined if it has to pass. */
export function knownFailure(name: string): string | undefined {
  return REASONS.find(([pattern]) => pattern.test(name))?.[1];
}
