/** The command genpolicy: verbs, help, exit status. */
import { describeError, KataError } from "../../kata-error.ts";
import { generateArguments, parseOptions } from "./arguments.ts";
import { checkCommand } from "./check-command.ts";
import type { CommandHost } from "./command-host.ts";
import { generateCommand } from "./generate-command.ts";

const HELP = `genpolicy makes policies for the agent in the guest from Kubernetes objects, and puts them into these.

Usage:
  genpolicy [OPTIONS]                                    standard input → standard output
  genpolicy -y FILE [OPTIONS]                            FILE is rewritten
  genpolicy check --policy FILE --requests CASES.json    what a policy answers
  genpolicy katapolicygen [OPTIONS]                      with the options of az confcom katapolicygen

Input:
  -y, --yaml-file FILE               Pod, Deployment, DaemonSet, Job, CronJob, ReplicaSet, ReplicationController,
                                     StatefulSet, ConfigMap, Secret, List; other kinds pass through
      --config-file FILE             ConfigMaps and Secrets that variables refer to (repeatable; -c is the old name)
      --runtime-class-names PREFIX   only pods of runtime classes that begin so (repeatable)
  -s, --silent-unsupported-fields    ignore fields that are not known instead of failing
      --initdata-path FILE           initdata (TOML) to add the policy to

Images, asked in this order:
      --oci-layout DIR               images in an OCI layout, by the names in its index (repeatable)
  -d, --containerd-socket-path[=P]   containerd's content store
      a registry                     with the credentials of docker login
      --registry-mirror REG=HOST     ask HOST for images of REG first (repeatable)
      --insecure-registry HOST       speak HTTP with HOST (repeatable)
  -u, --use-cached-files             keep what is known of layers in ./layers-cache.json
      --layers-cache-file-path[=P]   … in P

Policy:
  -p, --rego-rules-path FILE         rules (default: ./rules.rego if there is one, else the built-in ones)
  -j, --json-settings-path PATH      settings, a file or a directory with genpolicy-settings.json and
                                     genpolicy-settings.d/*.json, JSON patches in the order of their names
                                     (default: ./genpolicy-settings.json if there is one, else the built-in ones)
      --policy-annotation            write io.katacontainers.config.agent.policy instead of initdata

Output:
  -r, --raw-out                      print the policy's text
  -b, --base64-out                   print the annotation's value
  -v, --version
  -h, --help

Exit status: 0; 1 if no policy was made or a case of check is not as expected; 2 on a wrong command line.

Example:
  genpolicy -y pod.yaml -j settings/ --oci-layout images/
  genpolicy -r < pod.yaml > policy.rego && genpolicy check --policy policy.rego --requests testcases.json
`;

/** Runs the command and gives its exit status. */
export async function runGenpolicy(
  argv: readonly string[],
  version: string,
  host: CommandHost,
): Promise<number> {
  const [verb] = argv;
  const hasVerb = verb === "check" || verb === "katapolicygen";
  const isAzure = verb === "katapolicygen";
  try {
    const options = parseOptions(hasVerb ? argv.slice(1) : argv, isAzure);
    if (options.has("help")) {
      await host.writeOut(HELP);
      return 0;
    }
    if (options.has("version")) {
      await host.writeOut(`Kata Containers policy tool (TypeScript): ${version}\n`);
      return 0;
    }
    if (verb === "check") {
      const policy = options.last("policy");
      const requests = options.last("requests");
      if (policy === undefined || requests === undefined) {
        throw new KataError("invalid-argument", {
          operation: "check policy",
          object: policy === undefined ? "--policy" : "--requests",
          hint: "usage: genpolicy check --policy FILE --requests CASES.json",
        });
      }
      return (await checkCommand(policy, requests, host)) ? 0 : 1;
    }
    await generateCommand(generateArguments(options, isAzure), host);
    return 0;
  } catch (error) {
    host.writeError(`ERROR: ${describeError(error)}\n`);
    return error instanceof KataError && error.code === "invalid-argument" ? 2 : 1;
  }
}
