/** Container engines from Debian's packages: fetched and unpacked into a cache, never installed. */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { madeOnce } from "../../scripts/apt/made-once.ts";
import { type BinaryPackage, fetchBinaryPackage } from "../../scripts/apt/private-apt.ts";
import { mustRun } from "./command.ts";

const CACHE = join(import.meta.dirname, "../../build/cache/engines");

export type EngineSuite = "bookworm" | "trixie" | "sid";

/** What a bare machine has not, of what rules for packets need. */
const PACKET_FILTER = [
  "iptables",
  "libip4tc2",
  "libip6tc2",
  "libnetfilter-conntrack3",
  "libnfnetlink0",
  "libnftnl11",
  "libxtables12",
];

const PODMAN = [
  "podman",
  "conmon",
  "catatonit",
  "netavark",
  "aardvark-dns",
  "golang-github-containers-common",
  "golang-github-containers-image",
  "libgpgme11",
  "libassuan0",
  "libsubid4",
  "libyajl2",
];

/** @returns a directory with Podman's packages of Debian 12 unpacked. */
export async function podmanPackages(): Promise<string> {
  return await unpacked("podman", [...inSuite("bookworm", PODMAN), ...inSuite("bookworm", PACKET_FILTER)]);
}

/** @returns a directory with Docker's packages of `suite` unpacked; outside of Debian 12, with its containerd too. */
export async function dockerPackages(suite: EngineSuite): Promise<string> {
  const names =
    suite === "bookworm" ? ["docker.io", "tini"] : ["docker.io", "docker-cli", "tini", "containerd"];
  return await unpacked(`docker-${suite}`, [...inSuite(suite, names), ...inSuite("bookworm", PACKET_FILTER)]);
}

interface Wanted {
  readonly suite: EngineSuite;
  readonly name: string;
}

function inSuite(suite: EngineSuite, names: readonly string[]): Wanted[] {
  return names.map((name) => ({ suite, name }));
}

async function unpacked(title: string, wanted: readonly Wanted[]): Promise<string> {
  const packages: BinaryPackage[] = [];
  for (const each of wanted) packages.push(await fetchBinaryPackage(each));
  const key = createHash("sha256")
    .update(packages.map(({ sha256 }) => sha256).join())
    .digest("hex");
  const directory = join(CACHE, `${title}-${key.slice(0, 16)}`);
  return await madeOnce(directory, async (unfinished) => {
    for (const part of ["etc", "usr"]) await mkdir(join(unfinished, part), { recursive: true });
    for (const { path } of packages) await mustRun("dpkg-deb", ["--extract", path, unfinished]);
  });
}
