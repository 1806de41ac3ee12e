/** JSON web tokens. Sources: RFC 7515, RFC 7518, RFC 7519; OPA policy reference, "Tokens". */

import { decodeBase64, encodeBase64 } from "../../../crypto/base64.ts";
import { type Builtin, type BuiltinCall, builtin, fault, objectOf } from "../builtin-registry.ts";
import { compareNumbers, divide, fromBigInt, type RegoNumber } from "../decimal.ts";
import { formatJson, formatRego, parseJson } from "../json.ts";
import { equalValues, isArray, isNumber, RegoObject, type Value } from "../values.ts";
import { encodeHex } from "./encoding.ts";
import { HASHES, hmac } from "./hashes.ts";
import { decodeUtf8Lossy, encodeUtf8 } from "./utf8.ts";

interface Token {
  readonly header: RegoObject;
  readonly payload: Value;
  readonly signature: Uint8Array;
  /** What the signature signs. */
  readonly signed: Uint8Array;
}

const text = (value: Value | undefined) => (typeof value === "string" ? value : "");

function part(name: string, encoded: string): Uint8Array {
  const bytes = decodeBase64(encoded, true, "optional");
  if (!bytes) throw fault(name, "a part of the token is no base64url");
  return bytes;
}

/** The bytes that a token's signature is of, and the signature as it stands there. */
function signedPart(name: string, token: string): [signed: Uint8Array, signature: string] {
  const parts = token.split(".");
  const [header, payload, signature = ""] = parts;
  if (parts.length !== 3) throw fault(name, `encoded JWT must have 3 sections, found ${parts.length}`);
  return [encodeUtf8(`${header}.${payload}`), signature];
}

function parseToken(name: string, token: string): Token {
  const [signed, signature] = signedPart(name, token);
  const [header = "", payload = ""] = token.split(".");
  const fields = parseJson(decodeUtf8Lossy(part(name, header)));
  if (!(fields instanceof RegoObject)) throw fault(name, "the header is no object");
  if (fields.has("enc")) throw fault(name, "JWT is a JWE object, which is not supported");
  const content = decodeUtf8Lossy(part(name, payload));
  return {
    header: fields,
    // A token in a token stands there as it is, or as a JSON string.
    payload: holdsToken(fields) && !content.startsWith('"') ? content : parseJson(content),
    signature: part(name, signature),
    signed,
  };
}

const HMAC_HASHES = { HS256: HASHES.sha256, HS384: HASHES.sha384, HS512: HASHES.sha512 } as const;
const PUBLIC_KEY_ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
];

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  a.forEach((byte, i) => {
    difference |= byte ^ (b[i] ?? 0);
  });
  return difference === 0;
}

function isSignedBy(algorithm: string, key: string, signed: Uint8Array, signature: Uint8Array): boolean {
  const hash = HMAC_HASHES[algorithm as keyof typeof HMAC_HASHES];
  return equalBytes(hmac(hash, encodeUtf8(key), signed), signature);
}

function verifies(name: string, algorithm: string, key: string, token: Token, call: BuiltinCall): boolean {
  if (algorithm in HMAC_HASHES) return isSignedBy(algorithm, key, token.signed, token.signature);
  if (!PUBLIC_KEY_ALGORITHMS.includes(algorithm)) return false;
  const { certificates } = call.host;
  if (!certificates) throw fault(name, "this host has no library for public keys");
  return certificates.verify(algorithm, key, token.signed, token.signature);
}

function verifier(algorithm: string): Builtin {
  const name = `io.jwt.verify_${algorithm.toLowerCase()}`;
  if (algorithm in HMAC_HASHES) {
    // What the header and the payload hold does not matter: the signature is of their text.
    return builtin(name, "s,s", ([token, key]) => {
      const [signed, signature] = signedPart(name, text(token));
      return isSignedBy(algorithm, text(key), signed, part(name, signature));
    });
  }
  return builtin(name, "s,s", ([token, key], call) =>
    verifies(name, algorithm, text(key), parseToken(name, text(token)), call),
  );
}

/** Tokens that may be nested in each other. */
const MAX_NESTED_TOKENS = 16;

/** True if the content type says that the payload is another token. */
function holdsToken(header: RegoObject): boolean {
  const type = header.get("cty");
  return typeof type === "string" && type.toUpperCase() === "JWT";
}

/** The innermost token; `check` sees each, the outer ones first, and refuses with false. */
function unnest(name: string, encoded: string, check: (token: Token) => boolean): Token | undefined {
  let next: string | undefined = encoded;
  for (let depth = 0; next !== undefined; depth++) {
    if (depth > MAX_NESTED_TOKENS) throw fault(name, "tokens are nested too deeply");
    const token: Token = parseToken(name, next);
    if (!check(token)) return undefined;
    if (!holdsToken(token.header) || typeof token.payload !== "string") return token;
    next = token.payload;
  }
  return undefined;
}

const FAILED: Value = [false, new RegoObject(), new RegoObject()];
const CONSTRAINTS = ["cert", "secret", "alg", "iss", "aud", "time"];

/** `[valid, header, payload]` of a token whose signature and claims meet the constraints. */
function decodeVerify(value: Value | undefined, constraints: RegoObject, call: BuiltinCall): Value {
  const name = "io.jwt.decode_verify";
  for (const key of constraints.keys()) {
    if (typeof key !== "string" || !CONSTRAINTS.includes(key))
      throw fault(name, `unknown token validation constraint ${formatRego(key)}`);
  }
  const certificate = constraints.get("cert");
  const secret = constraints.get("secret");
  if ((certificate === undefined) === (secret === undefined))
    throw fault(name, "one of the constraints cert and secret must be given");
  const wanted = constraints.get("alg");
  const token = unnest(name, text(value), (one) => {
    const algorithm = text(one.header.get("alg"));
    // RFC 7515, section 4.1.11: who does not understand a critical extension refuses; none is understood here.
    if (one.header.has("crit")) return false;
    if (wanted !== undefined && wanted !== algorithm) return false;
    if (algorithm.startsWith("HS") !== (secret !== undefined)) return false;
    return verifies(name, algorithm, text(secret ?? certificate), one, call);
  });
  if (!(token?.payload instanceof RegoObject)) return FAILED;
  return claimsHold(token.payload, constraints, call) ? [true, token.header, token.payload] : FAILED;
}

function claimsHold(claims: RegoObject, constraints: RegoObject, call: BuiltinCall): boolean {
  const issuer = constraints.get("iss");
  if (issuer !== undefined && !equalValues(issuer, claims.get("iss") ?? null)) return false;
  const audience = constraints.get("aud");
  const claimed = claims.get("aud");
  if ((audience === undefined) !== (claimed === undefined)) return false;
  if (audience !== undefined && claimed !== undefined) {
    const all = isArray(claimed) ? claimed : [claimed];
    if (!all.some((one) => equalValues(one, audience))) return false;
  }
  const now = currentTime(constraints.get("time"), call);
  const expiry = claims.get("exp");
  const start = claims.get("nbf");
  // Claims count in seconds, the engine in nanoseconds.
  const seconds = divide(now, 1_000_000_000) ?? 0;
  for (const [key, claim] of [
    ["exp", expiry],
    ["nbf", start],
  ] as const) {
    if (claim !== undefined && !isNumber(claim))
      throw fault("io.jwt.decode_verify", `${key} value must be a number`);
  }
  if (isNumber(expiry) && compareNumbers(seconds, expiry) >= 0) return false;
  return !isNumber(start) || compareNumbers(seconds, start) >= 0;
}

function currentTime(wanted: Value | undefined, call: BuiltinCall): RegoNumber {
  if (wanted === undefined) return fromBigInt(call.host.now?.() ?? 0n);
  if (!isNumber(wanted)) throw fault("io.jwt.decode_verify", "the constraint time must be a number");
  return wanted;
}

function encodeSign(name: string, header: string, payload: string, key: string, call: BuiltinCall): Value {
  const fields = parseJson(header);
  const algorithm = fields instanceof RegoObject ? text(fields.get("alg")) : "";
  if (fields instanceof RegoObject && fields.get("typ") === "JWT") parseJson(payload);
  const encode = (bytes: Uint8Array) => encodeBase64(bytes, true, false);
  const signed = `${encode(encodeUtf8(header))}.${encode(encodeUtf8(payload))}`;
  if (algorithm in HMAC_HASHES) {
    const jwk = parseJson(key);
    const secret = jwk instanceof RegoObject ? decodeBase64(text(jwk.get("k")), true, "optional") : undefined;
    if (!secret) throw fault(name, "the key is no symmetric JWK");
    const hash = HMAC_HASHES[algorithm as keyof typeof HMAC_HASHES];
    return `${signed}.${encode(hmac(hash, secret, encodeUtf8(signed)))}`;
  }
  if (!PUBLIC_KEY_ALGORITHMS.includes(algorithm))
    throw fault(name, `unknown signature algorithm ${JSON.stringify(algorithm)}`);
  const { certificates } = call.host;
  if (!certificates) throw fault(name, "this host has no library for private keys");
  return `${signed}.${encode(certificates.sign(algorithm, key, encodeUtf8(signed)))}`;
}

export const TOKENS = [
  builtin("io.jwt.decode", "s", ([token]) => {
    const found = unnest("io.jwt.decode", text(token), () => true);
    if (!(found?.payload instanceof RegoObject)) throw fault("io.jwt.decode", "the payload is no object");
    return [found.header, found.payload, encodeHex(found.signature)];
  }),
  builtin("io.jwt.decode_verify", "s,o", ([token, constraints], call) =>
    decodeVerify(token, objectOf("io.jwt.decode_verify", constraints), call),
  ),
  builtin("io.jwt.encode_sign", "o,o,o", ([header, payload, key], call) =>
    encodeSign(
      "io.jwt.encode_sign",
      formatJson(header as Value),
      formatJson(payload as Value),
      formatJson(key as Value),
      call,
    ),
  ),
  builtin("io.jwt.encode_sign_raw", "s,s,s", ([header, payload, key], call) =>
    encodeSign("io.jwt.encode_sign_raw", text(header), text(payload), text(key), call),
  ),
  ...["HS256", "HS384", "HS512", ...PUBLIC_KEY_ALGORITHMS].map(verifier),
];
