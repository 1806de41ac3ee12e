/** Digests, HMACs and X.509. Source: OPA policy reference, "Crypto". */
import { type Builtin, type BuiltinCall, builtin, fault } from "../builtin-registry.ts";
import type { CertificateProvider } from "../evaluation.ts";
import { RegoObject, type Value } from "../values.ts";
import { encodeHex } from "./encoding.ts";
import { HASHES, hmac } from "./hashes.ts";
import { encodeUtf8 } from "./utf8.ts";

const text = (value: Value | undefined) => (typeof value === "string" ? value : "");

function digest(name: "md5" | "sha1" | "sha256"): Builtin {
  return builtin(`crypto.${name}`, "s", ([value]) => encodeHex(HASHES[name].digest(encodeUtf8(text(value)))));
}

function keyed(name: "md5" | "sha1" | "sha256" | "sha512"): Builtin {
  return builtin(`crypto.hmac.${name}`, "s,s", ([message, key]) =>
    encodeHex(hmac(HASHES[name], encodeUtf8(text(key)), encodeUtf8(text(message)))),
  );
}

/** Compares without telling by its time where the texts differ. */
function equalTexts(a: string, b: string): boolean {
  const left = encodeUtf8(a);
  const right = encodeUtf8(b);
  let difference = left.length ^ right.length;
  left.forEach((byte, i) => {
    difference |= byte ^ (right[i] ?? 0);
  });
  return difference === 0;
}

function provider(name: string, call: BuiltinCall): CertificateProvider {
  const { certificates } = call.host;
  if (!certificates) throw fault(name, "this host has no certificate library");
  return certificates;
}

/** Milliseconds since 1970 at which certificates are checked. */
function verificationTime(options: Value | undefined, call: BuiltinCall): number {
  const wanted = options instanceof RegoObject ? options.get("CurrentTime") : undefined;
  if (typeof wanted === "number") return wanted / 1e6;
  return Number((call.host.now?.() ?? 0n) / 1_000_000n);
}

function certificateBuiltin(
  name: string,
  signature: string,
  compute: (host: CertificateProvider, args: readonly Value[], call: BuiltinCall) => Value,
): Builtin {
  return builtin(name, signature, (args, call) => compute(provider(name, call), args, call));
}

export const CRYPTO = [
  digest("md5"),
  digest("sha1"),
  digest("sha256"),
  keyed("md5"),
  keyed("sha1"),
  keyed("sha256"),
  keyed("sha512"),
  builtin("crypto.hmac.equal", "s,s", ([a, b]) => equalTexts(text(a), text(b))),
  certificateBuiltin("crypto.x509.parse_certificates", "s", (host, [value]) =>
    host.parseCertificates(text(value)),
  ),
  certificateBuiltin("crypto.x509.parse_and_verify_certificates", "s", (host, [value], call) =>
    host.parseAndVerify(text(value), verificationTime(undefined, call)),
  ),
  certificateBuiltin(
    "crypto.x509.parse_and_verify_certificates_with_options",
    "s,o",
    (host, [value, options], call) => host.parseAndVerify(text(value), verificationTime(options, call)),
  ),
  certificateBuiltin("crypto.x509.parse_certificate_request", "s", (host, [value]) =>
    host.parseRequest(text(value)),
  ),
  certificateBuiltin("crypto.x509.parse_rsa_private_key", "s", (host, [value]) =>
    host.parsePrivateKey(text(value)),
  ),
  certificateBuiltin("crypto.x509.parse_keypair", "s,s", (host, [certificate, key]) =>
    host.parseKeyPair(text(certificate), text(key)),
  ),
  certificateBuiltin("crypto.parse_private_keys", "s", (host, [value]) => {
    if (text(value) === "") return null;
    // No key in the text is no error.
    const isKey = text(value).includes("-----BEGIN") || text(value).startsWith("LS0tLS1CRUdJTi");
    return isKey ? [host.parsePrivateKey(text(value))] : [];
  }),
];
