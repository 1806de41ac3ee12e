/** Which of a machine's apt sources is Debian's archive, and the source list by which another suite of it is reached. */
import { KataError } from "../../src/kata-error.ts";
import type { AptSource } from "./apt-sources.ts";

/** What apt is told to fetch: `deb` for binary packages, `deb-src` for source packages. */
export type PackageKind = "deb" | "deb-src";

export interface DebianMirror {
  /** Base of the main archive: `dists/` and `pool/` are below it. */
  readonly archive: string;
  /** Base of the security archive, if the machine uses one. */
  readonly security: string | undefined;
  /** Value of `Signed-By`, one or many lines. */
  readonly signedBy: string;
}

/** Suites to which no security archive belongs. */
const ROLLING_SUITES = ["sid", "unstable", "experimental"];

/**
 * The machine's mirror of Debian.
 *
 * Other vendors name their suites after Debian's too, so an entry signed by Debian's keyring goes before one that only
 * has `debian` in its address, and one with neither is not taken.
 *
 * @param release code name of the machine's own release, such as `bookworm`.
 * @param keyrings files of Debian's own keyring that exist here; they are trusted beside the entry's.
 * @throws KataError `no-debian-mirror` if no entry offers `main` of the release.
 */
export function findDebianMirror(
  sources: readonly AptSource[],
  release: string,
  keyrings: readonly string[],
): DebianMirror {
  const offering = (suites: readonly string[]) =>
    sources
      .filter((source) => source.components.includes("main"))
      .filter((source) => source.suites.some((suite) => suites.includes(suite)))
      .flatMap((source) => source.uris.map((uri) => ({ uri, source, likeness: likeness(uri, source) })))
      .filter((found) => found.likeness > 0 && !found.uri.startsWith("cdrom:"))
      .sort((a, b) => b.likeness - a.likeness)[0];
  const main = offering([release, "stable", "oldstable", "testing", ...ROLLING_SUITES]);
  if (main === undefined) {
    throw new KataError("no-debian-mirror", {
      operation: "find Debian's archive",
      object: `apt's source lists have no Debian mirror for ${release} main`,
      hint: "add one to /etc/apt/sources.list.d",
    });
  }
  const security = offering([
    `${release}-security`,
    "stable-security",
    "oldstable-security",
    "testing-security",
  ]);
  const own = main.source.signedBy;
  const signedBy = own?.includes("\n")
    ? own
    : [...new Set([...(own?.split(/\s+/) ?? []), ...keyrings])].join(" ");
  if (signedBy === "") {
    throw new KataError("no-keyring", {
      operation: "find the key that signs Debian's archive",
      object: main.uri,
      hint: "install debian-archive-keyring or set Signed-By in apt's source list",
    });
  }
  return { archive: main.uri, security: security?.uri, signedBy };
}

/** deb822 source list for `suite` at `mirror`, with its security fixes; only the index of `kind` is fetched. */
export function sourceListOf(mirror: DebianMirror, suite: string, kind: PackageKind): string {
  const stanza = (uri: string, name: string) =>
    [
      `Types: ${kind}`,
      `URIs: ${uri}`,
      `Suites: ${name}`,
      "Components: main",
      `Targets: ${kind === "deb" ? "Packages" : "Sources"}`,
      `Signed-By: ${mirror.signedBy}`,
      "",
    ].join("\n");
  const archive = stanza(mirror.archive, suite);
  if (mirror.security === undefined || ROLLING_SUITES.includes(suite)) return archive;
  return `${archive}\n${stanza(mirror.security, `${suite}-security`)}`;
}

function likeness(uri: string, source: AptSource): number {
  if (source.signedBy?.includes("debian-archive-")) return 2;
  return /debian/i.test(uri) ? 1 : 0;
}
