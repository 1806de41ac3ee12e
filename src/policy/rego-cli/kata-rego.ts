/** The command kata-rego: verbs, help, exit status. */
import { describeError, KataError } from "../../kata-error.ts";
import { type Arguments, parseArguments } from "./arguments.ts";
import { benchCommand } from "./bench-command.ts";
import { checkCommand } from "./check-command.ts";
import type { CommandHost } from "./command-host.ts";
import { evalCommand } from "./eval-command.ts";
import { formatCommand } from "./format-command.ts";
import { testCommand } from "./test-command.ts";

const HELP = `kata-rego evaluates Rego policies (OPA 1.x; v0 with --v0).

Usage:
  kata-rego eval [--v0] [--data F] [--input F] MODULE… QUERY
  kata-rego check [--v0] MODULE…
  kata-rego test [--v0] [--verbose] [--run TEXT] MODULE…
  kata-rego fmt [--v0] [--write | --diff] MODULE…
  kata-rego bench [--count N] [--data F] [--input F] MODULE… QUERY

A MODULE is a .rego file or a directory. Documents are JSON or YAML; {"set!": […]} is a set,
{"object!": [{"key": …, "value": …}]} an object with keys of any kind.

Options:
  --data F, --input F           documents
  --v0, --v1                    the language of modules without "import rego.v1"; by default v1, or v0 if only that parses
  --no-strict-builtin-errors    a builtin that fails is undefined instead of an error
  --max-steps N, --max-depth N, --max-memory N   bounds of an evaluation

Exit status: 0; 1 if fmt --diff names a file that it would change; 2 on an error or a failed test.

Example:
  kata-rego eval --input request.json policy.rego data.agent_policy.CreateContainerRequest
`;

const VERBS: Readonly<Record<string, (args: Arguments, host: CommandHost) => number>> = {
  eval: evalCommand,
  check: checkCommand,
  test: testCommand,
  fmt: formatCommand,
  bench: benchCommand,
};

/** Runs the command and gives its exit status; errors go to the host's standard error. */
export function runKataRego(argv: readonly string[], host: CommandHost): number {
  const [verb = "", ...rest] = argv;
  if (verb === "" || verb === "help" || verb === "--help" || rest.includes("--help")) {
    (verb === "" ? host.writeError : host.writeOut)(HELP);
    return verb === "" ? 2 : 0;
  }
  try {
    const command = VERBS[verb];
    if (!command) {
      const hint = `verbs: ${Object.keys(VERBS).join(", ")}`;
      throw new KataError("invalid-argument", { operation: "run kata-rego", object: `verb ${verb}`, hint });
    }
    return command(parseArguments(rest), host);
  } catch (error) {
    host.writeError(`error: ${describeError(error)}\n`);
    return 2;
  }
}
