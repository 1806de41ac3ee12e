/** Where this machine gets Debian's packages from, as its apt is set up. Source: apt-get(8), "indextargets". */
import { mustRun } from "./command.ts";

export interface DebianArchives {
  /** Code name of the release, such as `bookworm`. */
  readonly suite: string;
  /** Lines of a sources.list: the release, its updates and security fixes. */
  readonly sources: string;
}

const FIELDS = ["REPO_URI", "RELEASE", "ORIGIN", "COMPONENT", "SIGNED_BY"];

/** @throws Error if apt knows no archive of Debian; `apt-get update` makes it known. */
export async function debianArchives(): Promise<DebianArchives> {
  const format = FIELDS.map((field) => `$(${field})`).join("|");
  const listed = await mustRun("apt-get", ["indextargets", "--format", format, "Created-By: Packages"]);
  const sources = new Set<string>();
  const suites: string[] = [];
  for (const line of listed.split("\n")) {
    const [uri = "", release = "", origin = "", component = "", signedBy = ""] = line.split("|");
    if (origin !== "Debian") continue;
    // apt prints the field's own name if a source does not set it.
    const signed = signedBy.startsWith("/") ? ` [signed-by=${signedBy}]` : "";
    sources.add(`deb${signed} ${uri} ${release} ${component}`);
    if (!release.includes("-") && component === "main") suites.push(release);
  }
  const [suite] = suites;
  if (suite === undefined) {
    throw new Error(
      "find Debian's archive: apt knows none (run `apt-get update` and look at /etc/apt/sources.list.d)",
    );
  }
  return { suite, sources: `${[...sources].join("\n")}\n` };
}
