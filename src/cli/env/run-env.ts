/** `kata-runtime env`: what it does. */
import { readlink, writeFile } from "../../sys/files.ts";
import { COMMIT, OCI_SPECS_VERSION, VERSION } from "../../version.ts";
import { evaluate } from "../check/evaluate.ts";
import { textFlag } from "../flag-values.ts";
import { findProgram, gatherFacts } from "../host/gather-facts.ts";
import type { HostFacts } from "../host/host-facts.ts";
import { realPathIn, snapshotRoot } from "../host/host-root.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";
import { describeEnvironment } from "./environment.ts";
import { toTomlDocument } from "./to-toml.ts";

/** @throws KataError for a configuration that cannot be read: there is nothing to show. */
export async function runEnv({ flags, environment, output }: CommandContext): Promise<number> {
  const option = flags.get("config");
  const facts = await gatherFacts({
    configurationFile: typeof option === "string" ? option : "",
    environment,
    root: textFlag(flags, "root") ?? "",
  });
  const { configuration } = facts;
  if (configuration.kind !== "read") throw configuration.error;
  const shown = describeEnvironment(
    facts,
    {
      path: runtimePath(facts),
      version: VERSION,
      commit: COMMIT,
      ociVersion: OCI_SPECS_VERSION,
    },
    evaluate(facts).capable,
  );
  const text = flags.has("json")
    ? `${JSON.stringify(shown, null, 2)}\n`
    : toTomlDocument(shown, ["EnableAnnotations"]);
  const file = textFlag(flags, "file");
  if (file === undefined) output.data(text);
  else writeFile(file, text);
  return EXIT_OK;
}

/** Of the running program; of a snapshot, where that host has the runtime. */
function runtimePath({ snapshot }: HostFacts): string {
  if (snapshot === undefined) return readlink("/proc/self/exe");
  using host = snapshotRoot(snapshot);
  const found = findProgram(host, "kata-runtime");
  return found === undefined ? "" : (realPathIn(host, found) ?? "");
}
