/** Semantic versions. Source: semver.org 2.0.0; OPA policy reference, "Semver". */
import { builtin, fault } from "../builtin-registry.ts";
import type { Value } from "../values.ts";

const VERSION =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;

interface Version {
  readonly numbers: readonly bigint[];
  readonly prerelease: readonly string[];
}

function parseVersion(value: Value | undefined): Version | undefined {
  const match = typeof value === "string" ? VERSION.exec(value) : null;
  if (!match) return undefined;
  const [, major = "0", minor = "0", patch = "0", prerelease] = match;
  return { numbers: [major, minor, patch].map(BigInt), prerelease: prerelease?.split(".") ?? [] };
}

function version(value: Value | undefined): Version {
  const parsed = parseVersion(value);
  if (!parsed) throw fault("semver.compare", `${JSON.stringify(value)} is not a valid SemVer`);
  return parsed;
}

function compare(a: Version, b: Version): number {
  for (let i = 0; i < 3; i++) {
    const x = a.numbers[i] ?? 0n;
    const y = b.numbers[i] ?? 0n;
    if (x !== y) return x < y ? -1 : 1;
  }
  if (a.prerelease.length === 0 || b.prerelease.length === 0)
    return Math.sign(b.prerelease.length - a.prerelease.length);
  for (let i = 0; ; i++) {
    const x = a.prerelease[i];
    const y = b.prerelease[i];
    if (x === undefined || y === undefined) return x === y ? 0 : x === undefined ? -1 : 1;
    if (x === y) continue;
    const isNumberX = /^\d+$/.test(x);
    const isNumberY = /^\d+$/.test(y);
    if (isNumberX && isNumberY) return BigInt(x) < BigInt(y) ? -1 : 1;
    if (isNumberX !== isNumberY) return isNumberX ? -1 : 1;
    return x < y ? -1 : 1;
  }
}

export const SEMVER = [
  builtin("semver.is_valid", "*", ([value]) => parseVersion(value) !== undefined),
  builtin("semver.compare", "s,s", ([a, b]) => compare(version(a), version(b))),
];
