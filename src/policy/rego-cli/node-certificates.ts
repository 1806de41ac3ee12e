/** Keys and certificates by Node's library. Sources: RFC 7518 (algorithms), RFC 5280 (certificates); OPA's shapes. */
import {
  constants,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  type SigningOptions,
  sign as signWith,
  verify as verifyWith,
  X509Certificate,
} from "node:crypto";
import type { CertificateProvider } from "../rego/evaluation.ts";
import { BuiltinFault } from "../rego/fault.ts";
import { fromJson, parseJson, toJson } from "../rego/json.ts";
import { isArray, RegoObject, type Value } from "../rego/values.ts";

/** Digest and signature options of an algorithm of RFC 7518; EdDSA has no separate digest. */
function schemeOf(algorithm: string): {
  readonly digest: string | undefined;
  readonly options: SigningOptions;
} {
  const digest = algorithm === "EdDSA" ? undefined : `sha${algorithm.slice(2)}`;
  if (algorithm.startsWith("PS")) {
    return {
      digest,
      options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
    };
  }
  return { digest, options: algorithm.startsWith("ES") ? { dsaEncoding: "ieee-p1363" } : {} };
}

function keyTypeFits(algorithm: string, key: KeyObject): boolean {
  const type = key.asymmetricKeyType;
  if (algorithm.startsWith("ES")) return type === "ec";
  return algorithm === "EdDSA" ? type === "ed25519" : type === "rsa" || type === "rsa-pss";
}

/** The public keys in a PEM block, a JWK or a set of them. */
function publicKeys(source: string): KeyObject[] {
  if (!source.trimStart().startsWith("{")) {
    const after = source.slice(source.lastIndexOf("-----END ")).replace(/^-----END [A-Z ]+-----/, "");
    if (source.includes("-----END ") && after.trim() !== "")
      throw new BuiltinFault("extra data after a PEM certificate block");
    return [source.includes("CERTIFICATE") ? new X509Certificate(source).publicKey : createPublicKey(source)];
  }
  const document = parseJson(source);
  const keys = document instanceof RegoObject ? document.get("keys") : undefined;
  return (isArray(keys) ? keys : [document]).map((key) =>
    createPublicKey({ key: jwkOf(key), format: "jwk" }),
  );
}

function jwkOf(value: Value): JsonWebKey {
  return toJson(value) as JsonWebKey;
}

type JsonWebKey =
  Exclude<Parameters<typeof createPublicKey>[0], string | Buffer | KeyObject> extends infer Options
    ? Options extends { key: infer Key; format: "jwk" }
      ? Key
      : never
    : never;

/** Runs `work`, a failure of the library being the policy's fault. */
function faulting<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new BuiltinFault(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function certificatesIn(source: string): X509Certificate[] {
  return faulting("parse certificates", () => {
    const text = source.includes("-----BEGIN") ? source : Buffer.from(source, "base64").toString("latin1");
    const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g);
    return blocks
      ? blocks.map((block) => new X509Certificate(block))
      : derCertificates(Buffer.from(source, "base64"));
  });
}

/** Certificates in DER, one behind the other: each is a SEQUENCE with its length (X.690, 8.1.3). */
function derCertificates(bytes: Buffer): X509Certificate[] {
  const found: X509Certificate[] = [];
  for (let at = 0; at < bytes.length || found.length === 0; ) {
    const first = bytes[at + 1] ?? 0;
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    if (lengthBytes > 4) throw new BuiltinFault("malformed certificate");
    const length = lengthBytes === 0 ? first : bytes.readUIntBE(at + 2, lengthBytes);
    const end = at + 2 + lengthBytes + length;
    found.push(new X509Certificate(bytes.subarray(at, end)));
    at = end;
  }
  return found;
}

/** PEM as it is, or out of base64. */
function pemOf(source: string): string {
  return source.includes("-----BEGIN") ? source : Buffer.from(source, "base64").toString("latin1");
}

function describeCertificate(certificate: X509Certificate): Value {
  return fromJson({
    Subject: nameOf(certificate.subject),
    Issuer: nameOf(certificate.issuer),
    SerialNumber: BigInt(`0x${certificate.serialNumber}`),
    NotBefore: new Date(certificate.validFrom).toISOString().replace(".000Z", "Z"),
    NotAfter: new Date(certificate.validTo).toISOString().replace(".000Z", "Z"),
    IsCA: certificate.ca,
    DNSNames: alternativeNames(certificate, "DNS:"),
    IPAddresses: alternativeNames(certificate, "IP Address:"),
    EmailAddresses: alternativeNames(certificate, "email:"),
    URIStrings: alternativeNames(certificate, "URI:"),
    Raw: certificate.raw.toString("base64"),
    Version: 3,
  });
}

function alternativeNames(certificate: X509Certificate, prefix: string): string[] | null {
  const names = (certificate.subjectAltName ?? "").split(", ").filter((name) => name.startsWith(prefix));
  return names.length === 0 ? null : names.map((name) => name.slice(prefix.length));
}

const NAME_PARTS: Readonly<Record<string, string>> = {
  C: "Country",
  O: "Organization",
  OU: "OrganizationalUnit",
  L: "Locality",
  ST: "Province",
};

function nameOf(subject: string): Record<string, string | string[]> {
  const name: Record<string, string | string[]> = { CommonName: "" };
  for (const line of subject.split("\n")) {
    const at = line.indexOf("=");
    const key = line.slice(0, at);
    const list = NAME_PARTS[key];
    if (key === "CN") name.CommonName = line.slice(at + 1);
    else if (list) name[list] = [...(name[list] ?? []), line.slice(at + 1)];
  }
  return name;
}

/** True if each certificate is valid at `nowMs` and signed by the one before; the first is the trusted root. */
function chainHolds(chain: readonly X509Certificate[], nowMs: number): boolean {
  return chain.every((certificate, i) => {
    const issuer = chain[Math.max(0, i - 1)];
    const inTime = Date.parse(certificate.validFrom) <= nowMs && nowMs <= Date.parse(certificate.validTo);
    return (
      inTime &&
      issuer !== undefined &&
      certificate.checkIssued(issuer) &&
      certificate.verify(issuer.publicKey)
    );
  });
}

export const nodeCertificates: CertificateProvider = {
  parseCertificates: (source) => certificatesIn(source).map(describeCertificate),
  parseAndVerify(source, nowMs) {
    const chain = certificatesIn(source);
    // OPA takes two certificates at least and gives the leaf first.
    if (chain.length < 2 || !chainHolds(chain, nowMs)) return [false, []];
    return [true, [...chain].reverse().map(describeCertificate)];
  },
  parseRequest() {
    throw new BuiltinFault(
      "crypto.x509.parse_certificate_request: Node's library reads no certificate requests",
    );
  },
  parsePrivateKey(source) {
    return faulting("parse private key", () => {
      return fromJson(createPrivateKey(pemOf(source)).export({ format: "jwk" }));
    });
  },
  parseKeyPair(source, key) {
    return faulting("parse key pair", () => {
      const [certificate] = certificatesIn(source);
      if (!certificate?.checkPrivateKey(createPrivateKey(pemOf(key))))
        throw new BuiltinFault("the key is not the certificate's");
      const pair = new RegoObject();
      pair.set("Certificate", [certificate.raw.toString("base64")]);
      return pair;
    });
  },
  verify(algorithm, source, message, signature) {
    const { digest, options } = schemeOf(algorithm);
    return faulting(`verify ${algorithm}`, () =>
      publicKeys(source).some(
        (key) => keyTypeFits(algorithm, key) && verifyWith(digest, message, { key, ...options }, signature),
      ),
    );
  },
  sign(algorithm, jwk, message) {
    const { digest, options } = schemeOf(algorithm);
    return faulting(`sign ${algorithm}`, () => {
      const key = createPrivateKey({ key: jwkOf(parseJson(jwk)), format: "jwk" });
      return signWith(digest, message, { key, ...options });
    });
  },
};
